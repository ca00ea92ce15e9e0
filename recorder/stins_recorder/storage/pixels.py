"""How contents get to their places in a file: the interface, and which of its kinds a file gets."""

import os
from typing import Protocol

from stins.messages import Payload

from .batches import BatchWriter
from .hdf5 import ALIGNED_FROM
from .large import LARGE_BYTES, PAGE, LargeWriter
from .space import on_a_disk
from .transaction import write_all

__all__ = ["PixelWriter", "pixel_writer"]


class PixelWriter(Protocol):
    """Writes contents to places in an open file. What fails is raised by that call or by the next one."""

    def write(self, content: Payload, offset: int) -> None:
        """Takes the content; it is written now or in the background."""
        ...

    def flush(self) -> None:
        """Waits until everything is with the operating system."""
        ...

    def close(self) -> None:
        """Writes nothing any more. Closing twice does no harm."""
        ...


class _CachedWriter:
    """Through the page cache, in the calling thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, content: Payload, offset: int) -> None:
        if os.pwrite(self._descriptor, content, offset) != len(content):
            # It ends in the error that stopped it, as a rule.
            write_all(self._descriptor, content, offset)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def pixel_writer(descriptor: int, smallest: int, largest: int) -> PixelWriter:
    """The writer for contents of these sizes (bytes; one that is larger than that is written too)."""
    if not on_a_disk(descriptor):
        # In memory a thread would take as much time as it saves.
        return _CachedWriter(descriptor)
    if smallest >= LARGE_BYTES:
        return LargeWriter(descriptor, largest)
    # Whole pages, one content behind the other: what has gaps would go to the disk in as many pieces, and slower.
    if smallest == largest >= ALIGNED_FROM and largest % PAGE == 0:
        return BatchWriter(descriptor)
    return _CachedWriter(descriptor)
