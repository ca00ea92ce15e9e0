"""A page of memory in which the writer says which call it is in, so that one that never returns can be seen.

The writer stores one number before and one after each call (0.1 µs); the supervisor looks at it now and then. Nothing
in the writer has to run for that: one that hangs in the kernel is told from one that works. What is forced to the disk
beside the recording, by a thread of its own, has a place of its own.
"""

import itertools
import mmap
import os
from collections.abc import Callable
from typing import Final

__all__ = ["STEPS", "HangWatch", "WatchPage", "unwatched", "watch_of"]

#: The calls that may hang; "" is none of them. `sync` has the other place, and ends with `synced`.
STEPS: Final = ("", "create", "write", "flush", "close", "sync", "resume", "room", "journal")
_CODES: Final = {step: (int(step == "sync"), code) for code, step in enumerate(STEPS)} | {"synced": (1, 0)}
_PAGE_BYTES = mmap.PAGESIZE


class WatchPage:
    """The supervisor's end: `descriptor` is what the writer is given."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("stins-watch")
        os.ftruncate(self.descriptor, _PAGE_BYTES)
        self._memory = mmap.mmap(self.descriptor, _PAGE_BYTES)

    def read(self, *, beside: bool = False) -> tuple[int, str]:
        """A number that is another for each call, and the call's step; `beside`: of the thread beside the recording."""
        number = int.from_bytes(self._memory[8 * beside : 8 * beside + 8], "little")
        return number, STEPS[number % 256]

    def close(self) -> None:
        """Closes this end. Closing twice does no harm."""
        if not self._memory.closed:
            self._memory.close()
            os.close(self.descriptor)


def unwatched(_step: str) -> None:
    """Nobody looks whether a call hangs."""


def watch_of(descriptor: int) -> Callable[[str], None]:
    """The writer's end: a function that is told the step before a call, and "" after it."""
    page = memoryview(mmap.mmap(descriptor, _PAGE_BYTES)).cast("Q")
    calls = itertools.count(256, 256)

    def watch(step: str, page: memoryview = page, calls: "itertools.count[int]" = calls) -> None:
        place, code = _CODES[step]
        page[place] = next(calls) + code

    return watch


class HangWatch:
    """How long the same call has been seen. No I/O: what was read, and when, is told."""

    def __init__(self) -> None:
        self._seen = (0, "")
        self._since = 0.0

    def look(self, seen: tuple[int, str], now: float) -> float:
        """For how many seconds the writer has been in this call at least; 0 if it is in none."""
        if seen != self._seen:
            self._seen, self._since = seen, now
        return now - self._since if seen[1] else 0.0
