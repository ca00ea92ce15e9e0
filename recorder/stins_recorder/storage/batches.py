"""Frames below 1 MiB go to the disk many at a time, past the page cache.

In the page cache a frame of 32 KiB costs 16 us of the processor, and as much again when it is forced to the disk. A
copy costs 3 us.
"""

import mmap
from queue import SimpleQueue

from stins.messages import Payload

from .large import IN_FLIGHT, LARGE_BYTES, PAGE, LargeWriter, Piece
from .transaction import write_all

__all__ = ["BatchWriter"]

_BATCH_BYTES = 2 << 20


class BatchWriter:
    """Writes contents to places that begin at a page; two places have no byte in common, unless they are the same.

    What fails is raised by the next call; nothing is written after it.
    """

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        self._descriptor = descriptor
        self._large = LargeWriter(descriptor, size_bytes, direct=True)
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        # So many are on their way at most, and one is being filled: one is always free.
        for _ in range(IN_FLIGHT + 1):
            self._free.put(memoryview(mmap.mmap(-1, _BATCH_BYTES)))
        self._batch = self._free.get_nowait()
        self._filled = 0
        # What is in the batch: (begin in it, place of the first byte, place behind the last).
        self._pieces: list[tuple[int, int, int]] = []
        # Where something went since the last flush.
        self._places: set[int] = set()

    def write(self, content: Payload, offset: int) -> None:
        """Takes the content."""
        size = len(content)
        if offset in self._places:
            # What it replaces must not come after it.
            self.flush()
        self._places.add(offset)
        if size >= LARGE_BYTES:
            self._large.write(content, offset)
            return
        whole = size // PAGE * PAGE
        if self._filled + whole > _BATCH_BYTES:
            self._hand_over()
        begin, self._filled = self._filled, self._filled + whole
        self._batch[begin : self._filled] = memoryview(content)[:whole]
        if self._pieces and self._pieces[-1][2] == offset:
            self._pieces[-1] = (*self._pieces[-1][:2], offset + whole)
        else:
            self._pieces.append((begin, offset, offset + whole))
        if whole < size:
            # Behind it something else may stand in the same page.
            write_all(self._descriptor, memoryview(content)[whole:], offset + whole)

    def flush(self) -> None:
        """Waits until everything is with the operating system."""
        self._hand_over()
        self._large.flush()
        self._places.clear()

    def close(self) -> None:
        """Ends the threads; what was not flushed may be lost. Closing twice does no harm."""
        self._large.close()

    def _hand_over(self) -> None:
        if not self._pieces:
            return
        batch = self._batch
        pieces = [Piece(batch[begin : begin + end - first], first) for begin, first, end in self._pieces]
        self._large.write_pages(pieces, lambda: self._free.put(batch))
        self._batch = self._free.get_nowait()
        self._filled = 0
        self._pieces.clear()
