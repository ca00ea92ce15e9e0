"""Frames that were read and are not sent yet: held back for a source that can wait, dropped for one that can't."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from .backend import Frame
from .dealing import Dealer
from .outbox import Outbox

__all__ = ["Backlog", "WhenFull"]

#: What becomes of a frame that finds no room, of a source that can't wait: it is dropped, or the series fails.
WhenFull: TypeAlias = Literal["drop", "stop"]


class Backlog:
    """Never holds more than one `read` of the backend gave: the next is read when all frames are out of the way."""

    def __init__(
        self,
        outbox: Outbox | Dealer,
        can_wait: Callable[[], bool],
        peer_timeout_s: float,
        when_full: WhenFull = "drop",
    ) -> None:
        self._outbox = outbox
        self._can_wait = can_wait
        self._peer_timeout_s = peer_timeout_s
        self._when_full = when_full
        self._frames: deque[Frame] = deque()
        self._stuck_since: float | None = None

    def add(self, frames: Sequence[Frame]) -> None:
        """What the backend handed over."""
        self._frames.extend(frames)

    def empty(self) -> bool:
        """Whether another read has room."""
        return not self._frames

    def send(self) -> bool:
        """Sends without waiting; whether all frames are out of the way.

        Raises `StinsError` once a frame that can wait has found no room for too long, and for one that can't if that
        is to stop the series.
        """
        while self._frames:
            if not self._outbox.offer(self._frames[0]):
                if self._can_wait():
                    self._check_patience()
                    return False
                if self._when_full == "stop":
                    raise self._outbox.no_room(f"frame {self._frames[0].number}")
                self._outbox.drop(self._frames[0])
            self._frames.popleft()
        self._stuck_since = None
        return True

    def drop(self) -> None:
        """The series is over: what found no room is declared as dropped."""
        for frame in self._frames:
            self._outbox.drop(frame)
        self._frames.clear()
        self._stuck_since = None

    def _check_patience(self) -> None:
        now = time.monotonic()
        if self._stuck_since is None:
            self._stuck_since = now
        if now - self._stuck_since > self._peer_timeout_s:
            raise self._outbox.not_taken(f"frame {self._frames[0].number}")
