"""Who may ask a daemon."""

import re
import secrets
from collections.abc import Set as AbstractSet

import msgspec

from .http import Answer, Request

__all__ = ["Guard", "refusal"]

#: What a Host header has behind the host.
_PORT = re.compile(r":[0-9]*$")


def refusal(status: int, text: str) -> Answer:
    """An answer that says why there is none."""
    return Answer(status, msgspec.json.encode({"error": text}))


class Guard:
    """Lets through what names one of `hosts` (None: any), is sent by no web page, and has `token` if there is one."""

    def __init__(self, hosts: AbstractSet[str] | None, token: str | None) -> None:
        self._hosts = hosts
        self._token = token

    def refuses(self, request: Request) -> Answer | None:
        """Why it is not let through, if it is not."""
        host = _PORT.sub("", request.headers.get("host", ""))
        if self._hosts is not None and host not in self._hosts:
            return refusal(403, f"Host: got {host!r}, expected one of {sorted(self._hosts)}")
        if request.method != "GET" and "origin" in request.headers:
            return refusal(403, f"Origin: got {request.headers['origin']!r}; a web page may not control a daemon")
        if self._token is not None:
            given = request.headers.get("authorization", "")
            if not secrets.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
                return refusal(401, "Authorization: expected 'Bearer' and the content of the token file")
        return None
