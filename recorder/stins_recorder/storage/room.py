"""Room on the disk for frames to come: taken before they come, so that a full disk shows early."""

import errno
import os
import time
from collections.abc import Sequence

from .space import on_a_disk, release, reserve

__all__ = ["Room"]

#: So much at once: 1 to 40 ms on ext4.
_STEP_BYTES = 1 << 30
#: How long taking room may hold up the frames; the rest is taken at the flushes.
_AT_ONCE_S = 0.05


class Room:
    """Takes room in an open file, where its file system does that without writing."""

    def __init__(self, descriptor: int, *, at_once_s: float = _AT_ONCE_S, step_bytes: int = _STEP_BYTES) -> None:
        self._descriptor = descriptor
        self._at_once_s = at_once_s
        self._step_bytes = step_bytes
        self._taking = on_a_disk(descriptor)
        self._wanted: list[tuple[int, int]] = []
        # So many of the last of these were never written to.
        self._untouched = 0

    def want(self, rows: Sequence[Sequence[tuple[int, int]]], *, all_of_it: bool) -> None:
        """What is to be taken, now or later: for each run of rows (offset, size) in each of its datasets.

        Nothing may stand there yet. `all_of_it`: unless there is room for all, it fails.

        Raises:
            OSError: there is no room.
        """
        if not self._taking:
            return
        if all_of_it:
            stat = os.fstatvfs(self._descriptor)
            if sum(size for spans in rows for _, size in spans) > stat.f_bavail * stat.f_frsize:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        pieces = [piece for spans in rows for piece in _pieces(spans, self._step_bytes)]
        self._wanted += pieces
        self._untouched = len(pieces)
        self.take()
        # From now on frames are written there.
        self._untouched = 0

    def take(self) -> None:
        """Takes a piece of what is wanted, and more for as long as it may hold up the frames."""
        until = time.monotonic() + self._at_once_s if self._wanted else 0.0
        while self._wanted:
            untouched = len(self._wanted) <= self._untouched
            offset, size = self._wanted.pop(0)
            try:
                reserve(self._descriptor, offset, size)
            except OSError:
                # What is there is not enough for a block, and may be enough for the frames: they will tell.
                self._wanted.clear()
                if untouched:
                    release(self._descriptor, offset, size)
            if time.monotonic() >= until:
                return

    def give_back(self, spans: Sequence[tuple[int, int]]) -> None:
        """Gives back room that was taken and not used; what stands there reads as zeros from now on."""
        if self._taking:
            for offset, size in spans:
                release(self._descriptor, offset, size)


def _pieces(spans: Sequence[tuple[int, int]], step_bytes: int) -> list[tuple[int, int]]:
    """The spans of the same rows in pieces, the first rows of each dataset first: frames come by rows."""
    count = -(-sum(size for _, size in spans) // step_bytes)
    return [
        (offset + size * piece // count, size * (piece + 1) // count - size * piece // count)
        for piece in range(count)
        for offset, size in spans
    ]
