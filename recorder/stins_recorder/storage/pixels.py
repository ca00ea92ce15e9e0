"""How contents get to their places in a file: the interface, and which of its kinds a file gets."""

import os
from typing import Protocol

from stins.messages import Payload

from .batches import BatchWriter
from .hdf5 import ALIGNED_FROM
from .large import LARGE_BYTES, LargeWriter
from .space import on_a_disk
from .transaction import write_all

__all__ = ["PixelWriter", "handed_over_from", "pixel_writer"]


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


def handed_over_from(descriptor: int) -> int:
    """From which size on (bytes) contents in this file are written in the background.

    On a disk from where their places begin at a page, which saves the page cache; else where receiving and writing at
    once is worth a thread.
    """
    return ALIGNED_FROM if on_a_disk(descriptor) else LARGE_BYTES


def pixel_writer(descriptor: int, smallest: int, largest: int) -> PixelWriter:
    """The writer for contents of these sizes (bytes; one that is larger than that is written too)."""
    if smallest < handed_over_from(descriptor):
        return _CachedWriter(descriptor)
    return BatchWriter(descriptor, largest) if on_a_disk(descriptor) else LargeWriter(descriptor, largest, direct=False)
