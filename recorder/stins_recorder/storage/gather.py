"""Frames that lie one behind the other are written by one call, straight from the messages in which they came.

A call for each frame of 32 KiB costs half as much again, a copy into a buffer a third.
"""

import os

from stins.messages import Payload

from .transaction import write_all

__all__ = ["GatherWriter"]

#: So much is gathered: what is larger has left the caches of the processor when it is written.
_GATHERED_BYTES = 512 << 10
#: The kernel takes no more pieces (IOV_MAX).
_MOST_PIECES = 1024


class GatherWriter:
    """Writes contents through the page cache, in the calling thread; until then they must not change.

    What fails is raised by that call and by each one after it, until it gets through.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._contents: list[Payload] = []
        # They go there, and are so many bytes.
        self._offset = self._size = 0

    def write(self, content: Payload, offset: int) -> None:
        """Takes the content; it is written at the next flush at the latest."""
        if offset != self._offset + self._size:
            self.flush()
            self._offset = offset
        self._contents.append(content)
        self._size += len(content)
        if self._size >= _GATHERED_BYTES or len(self._contents) == _MOST_PIECES:
            self.flush()

    def flush(self) -> None:
        """Everything is with the operating system."""
        if not self._contents:
            return
        done = os.pwritev(self._descriptor, self._contents, self._offset)
        if done != self._size:
            # It ends in the error that stopped it, as a rule.
            write_all(self._descriptor, b"".join(self._contents)[done:], self._offset + done)
        self._offset += self._size
        self._size = 0
        self._contents.clear()

    def close(self) -> None:
        """What was not flushed is not written. Closing twice does no harm."""
        self._contents.clear()
