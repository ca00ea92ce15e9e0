"""Small frames that lie one behind the other in the file are written together, past the page cache.

In the page cache a frame of 32 KiB costs 16 us of the processor, and as much again when it is forced to the disk. A
copy costs 3 us.
"""

import mmap
from queue import SimpleQueue

from stins.messages import Payload

from .large import IN_FLIGHT, PAGE, LargeWriter

__all__ = ["BATCH_BYTES", "BatchWriter"]

BATCH_BYTES = 2 << 20


class BatchWriter:
    """Writes contents of whole pages to places at whole pages; as long as they follow each other, many at a time.

    What fails is raised by the next call; nothing is written after it.
    """

    def __init__(self, descriptor: int) -> None:
        self._writer = LargeWriter(descriptor, PAGE, direct=True)
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        # So many are on their way at most, and one is being filled: one is always free.
        for _ in range(IN_FLIGHT + 1):
            self._free.put(memoryview(mmap.mmap(-1, BATCH_BYTES)))
        self._batch: memoryview | None = None
        self._offset = self._size = 0
        # What lies below may be on its way.
        self._end = 0

    def write(self, content: Payload, offset: int) -> None:
        """Takes the content, whose memory may be used for something else afterwards."""
        size = len(content)
        if offset != self._offset + self._size or self._size + size > BATCH_BYTES:
            self._hand_over()
            if offset < self._end:
                # What it replaces must not come after it.
                self._writer.flush()
            self._offset = offset
        if self._batch is None:
            self._batch = self._free.get_nowait()
        begin, self._size = self._size, self._size + size
        self._batch[begin : self._size] = content
        self._end = max(self._end, offset + size)

    def flush(self) -> None:
        """Waits until everything is with the operating system."""
        self._hand_over()
        self._writer.flush()

    def close(self) -> None:
        """Ends the threads; what was not flushed may be lost. Closing twice does no harm."""
        self._writer.close()

    def _hand_over(self) -> None:
        batch, self._batch = self._batch, None
        if batch is not None:
            self._writer.write_pages(batch[: self._size], self._offset, lambda: self._free.put(batch))
        self._offset, self._size = self._offset + self._size, 0
