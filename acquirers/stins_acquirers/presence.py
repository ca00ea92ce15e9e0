"""Whether the hardware is there, and which FAULT is over once it is. No I/O and no clock."""

from enum import Enum
from typing import Final

__all__ = ["News", "Presence"]

#: So long it may have come back without having been found yet: whoever arms behind a reset finds that out himself.
_AGAIN_S: Final = 2.0


class News(Enum):
    """What a look at it has brought."""

    NONE = "it is as it was"
    AWAY = "it is not there: that is a FAULT"
    THERE = "it is there now; a FAULT has another reason"
    WELL = "it is there now, and the FAULT is over with that"


class Presence:
    """What was said of hardware that was not there, and the FAULT that stood meanwhile."""

    def __init__(self) -> None:
        self._said = ""
        #: The reason of the FAULT when it was last seen to be away: a command may have failed for that, too.
        self._fault: str | None = None
        #: Since when it is away without a FAULT, in s.
        self._left: float | None = None

    def look(self, absent: str, fault: str | None, now: float) -> News:
        """What is new: `absent` is why it can't be used, "" where it can, `fault` the FAULT's reason, None without one.

        `now` is in s, of any clock that only goes on.
        """
        if not absent:
            return self._there(fault)
        if fault is not None:
            self._fault, self._left = fault, None
        elif self._left is None:
            self._left = now
        if absent == self._said and (self._left is None or now - self._left < _AGAIN_S):
            return News.NONE
        self._said = self._fault = absent
        self._left = None
        return News.AWAY

    def forget(self) -> None:
        """It was used: whatever fails from now on has reasons of its own."""
        self._said, self._fault, self._left = "", None, None

    def _there(self, fault: str | None) -> News:
        said, ours = self._said, self._fault
        self.forget()
        if not said:
            return News.NONE
        return News.WELL if fault is not None and fault == ours else News.THERE
