"""Room behind the end of a file whose frames HDF5 finds a place for: taken before they come.

Else the file system looks for it when the kernel writes the frames out, and whoever writes the next one waits for that:
up to 0.3 s on ext4 while the disk is busy.
"""

import os
from contextlib import suppress

from .space import on_a_disk, reserve_behind

__all__ = ["RoomAhead"]

#: From so many bytes on a file gets as much room again as it has bytes, and no more than that at once: 1 to 40 ms.
_FROM_BYTES, _MOST_BYTES = 16 << 20, 1 << 30
#: A disk on which less is free than so many times that is filling up: its room is for those who need it now.
_PLENTY = 16


class RoomAhead:
    """Of an open file that is to have `rows` rows of frames, if that is known, else 0. The file keeps its length.

    For frames that HDF5 writes itself: where others do, it thinks the file shorter than it is, and cuts off at each
    flush what is behind the end.
    """

    def __init__(self, descriptor: int, rows: int) -> None:
        self._descriptor = descriptor
        self._rows = rows
        self._taking = on_a_disk(descriptor)
        # So many bytes more, and it is time to look.
        self._left = 0

    def written(self, row: int, size_bytes: int) -> None:
        """So many bytes are in the file, or will be, of the frame in this row; no failure of this is one of theirs."""
        self._left -= size_bytes
        if self._left < 0 and self._taking:
            self._look(row)

    def _look(self, row: int) -> None:
        end = os.fstat(self._descriptor).st_size
        size = min(end, _MOST_BYTES)
        self._left = max(size // 2, _FROM_BYTES - end)
        if row < self._rows:
            # Frames differ in size: an eighth more than those that came.
            size = min(size, (self._rows - row) * end // (row + 1) * 9 // 8)
        stat = os.fstatvfs(self._descriptor)
        if end >= _FROM_BYTES and size * _PLENTY <= stat.f_bavail * stat.f_frsize:
            with suppress(OSError):
                reserve_behind(self._descriptor, end, size)

    def give_back(self) -> None:
        """Gives back what is behind the end of the file, whoever took it: a writer that is dead, too."""
        if self._taking:
            # To cut it to the length that it has frees what is behind it; to punch a hole there does not.
            os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size)
