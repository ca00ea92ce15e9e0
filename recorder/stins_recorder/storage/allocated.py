"""Index first, pixels after: frames of one size are written past HDF5, to places that its index has already."""

from bisect import bisect_right
from collections.abc import Sequence

from stins import Spans
from stins.messages import Payload

from .datasets import FrameDatasets
from .pixels import pixel_writer
from .room import Room
from .runs import Run, allocate, confirmed, merged

__all__ = ["AllocatedStore"]

#: So many chunks are allocated before the first frame where the length is known (0.3 us each): 0.15 s.
_CHUNKS_AHEAD = 1 << 19
#: And no more than that, for no file system holds files of any size.
_BYTES_AHEAD = 1 << 40
#: Else by blocks that grow with the series: one costs 0.3 ms and a change of metadata.
_FIRST_BLOCK, _LAST_BLOCK, _BLOCK_BYTES = 16, 1 << 14, 256 << 20
#: HDF5 takes room for its index in between now and then; so many rows at most are then not in a run.
_STEP = 1 << 12
_NOWHERE = Run(0, 0, ())


class AllocatedStore:
    """A frame is safe from the death of this process when it is written to its places, at a flush at the latest."""

    def __init__(
        self,
        datasets: FrameDatasets,
        descriptor: int,
        expected: int,
        *,
        rows: int = 0,
        runs: Sequence[Run] = (),
        most: int | None = None,
    ) -> None:
        self._datasets = datasets
        self._descriptor = descriptor
        self._runs = [known for run in runs if (known := confirmed(datasets, run, rows))]
        self._run = _NOWHERE
        self._block = _FIRST_BLOCK
        self._most = most
        layout = datasets.layout
        self._expected = min(expected, _CHUNKS_AHEAD // layout.chunks_a_frame, _BYTES_AHEAD // layout.frame_bytes)
        self._room = Room(descriptor)
        self._sizes = [layout.datasets[target].chunk_bytes for target in layout.targets]
        self._pixels = pixel_writer(descriptor, min(self._sizes), max(self._sizes))

    @property
    def extent(self) -> int:
        """How many rows have a place, written or not."""
        return self._datasets.extent

    @property
    def descriptors(self) -> list[int]:
        """Everything is in the file that was given."""
        return []

    @property
    def runs(self) -> tuple[Run, ...]:
        """The rows whose place in the file is known."""
        return tuple(self._runs)

    def write(self, row: int, contents: Sequence[Payload]) -> None:
        """Stores the parts of a frame; a row may be written again."""
        run = self._run
        if not run.first <= row < run.stop:
            run = self._run = self._find(row)
            if run is _NOWHERE:
                self._datasets.write(row, contents)
                return
        at, write = row - run.first, self._pixels.write
        for (base, step), content in zip(run.places, contents, strict=True):
            write(content, base + at * step)

    def blank(self, row: int) -> None:
        """Lets a row read as missing."""
        # What is still to be written there must not come after it.
        self._pixels.flush()
        self._datasets.blank(row)

    def flush(self) -> None:
        """Waits for what is being written, and takes more of the room for what is to come."""
        self._pixels.flush()
        self._room.take()

    def close(self, rows: int, hidden: Spans) -> None:
        """Gives back the room of what is behind so many rows, and hidden."""
        self.abandon()
        for run in self._runs:
            self._room.give_back(run.extents(self._sizes, rows))
            for first, last in hidden:
                self._room.give_back(run.extents(self._sizes, first, last + 1))

    def abandon(self) -> None:
        """Writes nothing any more."""
        self._pixels.close()

    # -- allocation -----------------------------------------------------------------------------

    def _find(self, row: int) -> Run:
        if row >= self._datasets.extent:
            self._grow(row)
        index = bisect_right(self._runs, row, key=_first) - 1
        run = self._runs[index] if index >= 0 else _NOWHERE
        return run if row < run.stop else _NOWHERE

    def _grow(self, row: int) -> None:
        """Allocates up to the row, and a block more; the index is with the operating system before any pixel."""
        datasets = self._datasets
        # Nobody expects the rows of a gap: they get a place, and no room.
        self._allocate(row)
        begin = datasets.extent
        rows = max(row + self._block, self._expected)
        self._allocate(rows if self._most is None else min(rows, self._most))
        datasets.file.flush()
        known = begin == 0 < self._expected
        self._room.want([run.extents(self._sizes, begin) for run in self._runs], all_of_it=known)
        self._block = max(1, min(2 * self._block, _LAST_BLOCK, _BLOCK_BYTES // datasets.layout.frame_bytes))

    def _allocate(self, rows: int) -> None:
        datasets = self._datasets
        while datasets.extent < rows:
            # The first row alone: for it HDF5 needs room for its index in any case.
            step = min(_STEP, rows - datasets.extent) if datasets.extent else 1
            run = allocate(datasets, self._descriptor, step)
            if run is not None:
                joined = merged(self._runs[-1], run) if self._runs else None
                self._runs[-1:] = [joined] if joined else [*self._runs[-1:], run]


def _first(run: Run) -> int:
    return run.first
