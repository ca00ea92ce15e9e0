"""A request and a reply, as far as the interface looks at them."""

from typing import Any, Final

import msgspec

from .keys import RefusedError, Value

__all__ = ["Reply", "Request", "json_body", "json_reply"]

_JSON: Final = "application/json"
_ENCODER = msgspec.json.Encoder(order="sorted")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked: `path` is `/MODULE/api/VERSION/TASK/KEY`."""

    method: str
    path: str
    accept: str = ""
    content_type: str = ""
    body: bytes = b""
    timeout_s: float = 0.0
    """How long a monitor image may be waited for."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered."""

    content: bytes = b""
    media_type: str = _JSON
    status: int = 200


def json_reply(value: Any) -> Reply:
    """A reply of JSON."""
    return Reply(content=_ENCODER.encode(value))


def json_body(request: Request) -> Value:
    """The body's JSON; None where there is no body. Raises `RefusedError`."""
    if not request.body.strip():
        return None
    try:
        return msgspec.json.decode(request.body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RefusedError(f"{request.path}: the body is not JSON: {error}") from None
