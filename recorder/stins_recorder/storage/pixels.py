"""How contents get to their places in a file: the interface, and which of its kinds a file gets."""

from typing import Protocol

from stins.messages import Payload

from .gather import GatherWriter
from .large import LARGE_BYTES, LargeWriter
from .space import on_a_disk

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
        """What was not flushed may be written or not, and nothing after it. Closing twice does no harm."""
        ...


def pixel_writer(descriptor: int, smallest: int, largest: int) -> PixelWriter:
    """The writer for contents of these sizes (bytes; one that is larger than that is written too)."""
    # In memory a thread would take as much time as it saves.
    if smallest >= LARGE_BYTES and on_a_disk(descriptor):
        return LargeWriter(descriptor, largest)
    return GatherWriter(descriptor)
