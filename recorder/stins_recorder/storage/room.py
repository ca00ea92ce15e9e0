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

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._taking = on_a_disk(descriptor)
        self._wanted: list[tuple[int, int]] = []

    def want(self, spans: Sequence[tuple[int, int]], *, all_of_it: bool) -> None:
        """(offset, size) of what is to be taken, now or later; `all_of_it`: unless there is room for all, it fails.

        Raises:
            OSError: there is no room.
        """
        if not self._taking:
            return
        if all_of_it:
            stat = os.fstatvfs(self._descriptor)
            if sum(size for _, size in spans) > stat.f_bavail * stat.f_frsize:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._wanted += spans
        self.take()

    def take(self) -> None:
        """Takes what is wanted, for as long as it may hold up the frames."""
        until = time.monotonic() + _AT_ONCE_S if self._wanted else 0.0
        while self._wanted and time.monotonic() < until:
            offset, size = self._wanted[0]
            self._wanted[:1] = [(offset + _STEP_BYTES, size - _STEP_BYTES)] if size > _STEP_BYTES else []
            try:
                reserve(self._descriptor, offset, min(size, _STEP_BYTES))
            except OSError:
                # What is there is not enough for a block, and may be enough for the frames: they will tell.
                self._wanted.clear()
                release(self._descriptor, offset, min(size, _STEP_BYTES))

    def give_back(self, spans: Sequence[tuple[int, int]]) -> None:
        """Gives back room that was taken and not used; what stands there reads as zeros from now on."""
        if self._taking:
            for offset, size in spans:
                release(self._descriptor, offset, size)
