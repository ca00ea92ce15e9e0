"""What a recorder says back on the side channel: how far it has got. Bytes to a value and back; no I/O."""

from typing import Annotated

import msgspec

from .errors import MessageError

__all__ = ["Ack", "decode_ack", "encode_ack"]

#: An ack is three short values; what is longer is none.
_MOST_BYTES = 4096


class Ack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything up to `message_id` is flushed or otherwise settled (refused, discarded, given up).

    `message_id` None: nothing yet. `series_id` is that of the series started last, the one the number is counted with.
    The first ack of a new `boot_id` asks for everything behind it again.
    """

    boot_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    series_id: str | None
    message_id: Annotated[int, msgspec.Meta(ge=0)] | None


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Ack)


def encode_ack(ack: Ack) -> bytes:
    """One JSON object in UTF-8."""
    return _ENCODER.encode(ack)


def decode_ack(raw: bytes) -> Ack:
    """The ack; raises `MessageError`, which names the key and what came."""
    if len(raw) > _MOST_BYTES:
        raise MessageError(f"ack: got {len(raw)} bytes, expected at most {_MOST_BYTES}")
    try:
        return _DECODER.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"ack: {error}; got {raw[:100]!r}") from error
