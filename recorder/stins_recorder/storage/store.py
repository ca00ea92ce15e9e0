"""Where frames go: the interface, and which of its kinds a series gets."""

from collections.abc import Sequence
from typing import Protocol

from stins import Spans
from stins.messages import Payload

from .allocated import AllocatedStore
from .chunks import ChunkStore
from .datasets import FrameDatasets
from .runs import Run

__all__ = ["FrameStore", "open_store"]


class FrameStore(Protocol):
    """Frames by rows. Every method raises what h5py raises when HDF5 or the disk fails."""

    @property
    def runs(self) -> tuple[Run, ...]:
        """The rows whose place in the file is known."""
        ...

    @property
    def extent(self) -> int:
        """How many rows have a place, written or not."""
        ...

    @property
    def descriptors(self) -> list[int]:
        """Open files of its own, beside the one that it was given."""
        ...

    def write(self, row: int, contents: Sequence[Payload]) -> None:
        """Stores the parts of a frame; a row may be written again."""
        ...

    def blank(self, row: int) -> None:
        """Lets a row read as missing."""
        ...

    def flush(self) -> None:
        """Everything written is with the operating system, and its index too once the HDF5 file is flushed."""
        ...

    def close(self, rows: int, hidden: Spans) -> None:
        """Gives back the room of what is behind so many rows, and hidden; the file is closed by who opened it."""
        ...

    def abandon(self) -> None:
        """Stops writing. Doing it twice, or after `close`, does no harm."""
        ...


def open_store(
    datasets: FrameDatasets,
    descriptor: int,
    expected: int,
    *,
    rows: int = 0,
    runs: Sequence[Run] = (),
    most: int | None = None,
) -> FrameStore:
    """The store for the frames of an open file: `expected` of them, if that is known, else 0; `rows` are there.

    It never has more than `most`.
    """
    if datasets.layout.fixed:
        return AllocatedStore(datasets, descriptor, expected, rows=rows, runs=runs, most=most)
    return ChunkStore(datasets, descriptor, expected, most=most)
