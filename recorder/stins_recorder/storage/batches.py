"""Small frames that lie one behind the other go to the disk many at a time, past the page cache.

In the page cache a frame of 32 KiB costs 16 us of the processor, and as much again when it is forced to the disk. A
copy costs 3 us.
"""

import mmap
from queue import SimpleQueue

from stins.messages import Payload

from .large import IN_FLIGHT, PAGE, LargeWriter

__all__ = ["BatchWriter"]

_BATCH_BYTES = 2 << 20


class BatchWriter:
    """Writes contents of one size, of whole pages, to places that begin at a page; as long as they follow each other.

    What fails is raised by the next call; nothing is written after it.
    """

    def __init__(self, descriptor: int) -> None:
        self._writer = LargeWriter(descriptor, PAGE)
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        # So many are on their way at most, and one is being filled: one is always free.
        for _ in range(IN_FLIGHT + 1):
            self._free.put(memoryview(mmap.mmap(-1, _BATCH_BYTES)))
        self._batch = self._free.get_nowait()
        self._offset = self._filled = 0
        # What lies below may be on its way.
        self._end = 0

    def write(self, content: Payload, offset: int) -> None:
        """Takes the content, whose memory may be used for something else afterwards."""
        size = len(content)
        if offset != self._offset + self._filled or self._filled + size > _BATCH_BYTES:
            self._hand_over()
            if offset < self._end:
                # What it replaces must not come after it.
                self._writer.flush()
            self._offset = offset
        begin, self._filled = self._filled, self._filled + size
        self._batch[begin : self._filled] = content
        self._end = max(self._end, offset + size)

    def flush(self) -> None:
        """Waits until everything is with the operating system."""
        self._hand_over()
        self._writer.flush()

    def close(self) -> None:
        """Ends the threads; what was not flushed may be lost. Closing twice does no harm."""
        self._writer.close()

    def _hand_over(self) -> None:
        if not self._filled:
            return
        batch, filled = self._batch, self._filled
        self._writer.write_pages(batch[:filled], self._offset, lambda: self._free.put(batch))
        self._batch = self._free.get_nowait()
        self._offset, self._filled = self._offset + filled, 0
