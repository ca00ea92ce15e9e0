"""What camserver answers: a number, OK or ERR, and text, up to the control character CAN. No I/O.

Source: user manual of PILATUS3, "From a specific environment".
"""

import re
from typing import Final

import msgspec

from ...backend import BackendError

__all__ = ["END_OF_SERIES", "KILLED", "Reply", "ReplyBuffer"]

#: Numbers of what camserver says unasked: a series has ended, one was interrupted.
END_OF_SERIES: Final = 7
KILLED: Final = 13

_END = b"\x18"
#: The longest, of `camsetup`, have 2 kB.
_LONGEST = 1 << 16
_REPLY = re.compile(r"\s*(\d+)\s+(OK|ERR)\b\s?(.*)", re.DOTALL)
#: With `setackint` (which another client may have set) each n-th image is told.
_PROGRESS = re.compile(r"img \d+")


class Reply(msgspec.Struct, frozen=True):
    """One reply; `code` says what it is about."""

    code: int
    good: bool
    text: str

    def __str__(self) -> str:
        return f"{self.code} {'OK' if self.good else 'ERR'} {self.text}".strip()

    @property
    def unasked(self) -> bool:
        """Whether it answers no command."""
        return self.code in (END_OF_SERIES, KILLED) or bool(self.code == 15 and _PROGRESS.match(self.text))


class ReplyBuffer:
    """Bytes in, replies out."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, received: bytes) -> list[Reply]:
        """The replies that are whole now; raises `BackendError` for what can't be one."""
        *whole, self._rest = (self._rest + received).split(_END)
        if len(self._rest) > _LONGEST:
            raise BackendError(f"got {len(self._rest)} bytes of a reply that does not end, expected at most {_LONGEST}")
        return [_reply(content.decode("latin-1")) for content in whole]


def _reply(text: str) -> Reply:
    found = _REPLY.fullmatch(text.strip("\0"))
    if found is None:
        raise BackendError(f"got {text[:80]!r}, expected a reply such as '15 OK ...'")
    return Reply(int(found[1]), found[2] == "OK", found[3].strip())
