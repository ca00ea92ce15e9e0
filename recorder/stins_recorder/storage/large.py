"""Large frames are written to a disk by threads of their own, past the page cache where the file system allows it.

While one frame goes to the disk the next one is received. From memory to an ext4 disk, up to fsync, this reached 1,550
to 1,650 MB/s, through the page cache 570 to 1,040.
"""

import errno
import mmap
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np

from stins.messages import Payload

from .transaction import write_all

__all__ = ["LARGE_BYTES", "LargeWriter"]

#: From here on receiving and writing at once is worth a thread.
LARGE_BYTES = 1 << 20
#: One prepares what comes while the other waits for the disk.
_THREADS = 2
#: Two are being written, two wait: 4 x 8 MiB, so that memory stays bounded.
_IN_FLIGHT = 4
#: Where, and how much, a write past the page cache begins and ends.
_PAGE = 4096
#: A disk that takes longer has failed; the supervisor says long before that it hangs.
_LIMIT_S = 600.0


class _Job(NamedTuple):
    """A content on its way."""

    content: Payload
    offset: int


class LargeWriter:
    """Writes contents to places in an open file, in the background.

    What fails is raised by the next call; nothing is written after it.
    """

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        self._descriptor = descriptor
        self._direct = _past_the_page_cache(descriptor)
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._pending: set[int] = set()
        self._changed = threading.Condition()
        self._error: OSError | None = None
        self._threads = [
            threading.Thread(target=self._work, args=(size_bytes,), name=f"write-{index}", daemon=True)
            for index in range(_THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def write(self, content: Payload, offset: int) -> None:
        """Takes the content, once there is room for it, and once what is on its way to the same place has arrived."""
        with self._changed:
            self._wait(lambda: len(self._pending) < _IN_FLIGHT and offset not in self._pending)
            self._pending.add(offset)
        self._jobs.put(_Job(content, offset))

    def flush(self) -> None:
        """Waits until everything is with the operating system."""
        with self._changed:
            self._wait(lambda: not self._pending)

    def close(self) -> None:
        """Ends the threads; what they have is written. Closing twice does no harm."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(_LIMIT_S)
        self._threads = []
        if self._direct >= 0:
            os.close(self._direct)
            self._direct = -1

    def _wait(self, condition: Callable[[], bool]) -> None:
        done = self._changed.wait_for(lambda: self._error is not None or condition(), _LIMIT_S)
        if self._error is not None:
            raise self._error
        if not done:
            raise TimeoutError(errno.ETIMEDOUT, f"a write has taken {_LIMIT_S:g} s")

    # -- in the threads -------------------------------------------------------------------------

    def _work(self, size_bytes: int) -> None:
        # One buffer for ever: fresh pages would cost more than the copy.
        buffer = _large_pages(-(-size_bytes // _PAGE) * _PAGE)
        while (job := self._jobs.get()) is not None:
            offset = job.offset
            try:
                if self._error is None:
                    self._store(buffer, job)
            except OSError as error:
                self._error = error
            # Not when the next one comes: it is a frame.
            del job
            with self._changed:
                self._pending.discard(offset)
                self._changed.notify_all()

    def _store(self, buffer: mmap.mmap, job: _Job) -> None:
        content, offset, done = job.content, job.offset, 0
        if self._direct >= 0:
            with suppress(OSError):
                done = os.pwrite(self._direct, _in_pages(content, buffer), offset)
        # What is not a whole page, or didn't get through, goes by the page cache; there it ends in the error, if any.
        if done < len(content):
            write_all(self._descriptor, memoryview(content)[done:], offset + done)


def _large_pages(size_bytes: int) -> mmap.mmap:
    """Memory of pages; of large ones, where there are such: the kernel takes hold of each for every write."""
    # Not the default, which is shared memory: that has none.
    memory = mmap.mmap(-1, size_bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _past_the_page_cache(descriptor: int) -> int:
    """Another descriptor of the same file; -1 where its file system has no such thing."""
    with suppress(OSError):
        # By its number: the file may have been renamed.
        return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
    return -1


def _in_pages(content: Payload, buffer: mmap.mmap) -> memoryview:
    """The whole pages of a content, copied: a message lies anywhere in memory, and the disk wants pages."""
    # One that compression made larger than its pixels goes past the page cache as far as the buffer reaches.
    size = min(len(content), len(buffer)) // _PAGE * _PAGE
    # numpy copies without the interpreter's lock.
    np.copyto(np.frombuffer(buffer, np.uint8, size), np.frombuffer(content, np.uint8, size))
    return memoryview(buffer)[:size]
