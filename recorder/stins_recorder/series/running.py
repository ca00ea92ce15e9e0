"""The part of a series' file that grows with its frames: open from the first frame on, for others to read along."""

import os
from collections.abc import Sequence
from pathlib import Path

import h5py
import msgspec

from stins import Data, Spans
from stins.messages import Payload

from ..layout import FrameWriterLayout
from ..nexus import DETECTOR, SERIES, plot_frames
from ..segments import Segments
from ..storage import (
    HDF5_ERRORS,
    FrameDatasets,
    FrameStore,
    Run,
    SegmentedStore,
    hide,
    open_store,
    open_swmr,
    unhide,
)
from .ending import cut
from .frame_numbers import FrameNumbers
from .segment_views import show_ended, show_running

__all__ = ["Growth", "RunningFile", "show"]

#: Rows without a frame are filled; where that would be more than this at a stretch, they are hidden.
_FILL_ROWS, _FILL_BYTES = 4096, 64 << 20
#: Where frames are shown from several files none is filled, unless these would be too many stretches to leave out.
_MOST_STRETCHES = 4096
_EVERY_ROW = 1 << 63


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """How far a file has grown: bytes of notes, and the rows whose place is known (in the last data file)."""

    notes_bytes: int = 0
    runs: tuple[Run, ...] = ()


class RunningFile:
    """Frames and their numbers by rows. Every method raises what h5py raises when HDF5 or the disk fails.

    `layout` is that of the frames, None where they have no image; `expected` rows are had ahead; `rows` are there
    already. With `segments` the frames stand in data files beside it.
    """

    def __init__(
        self,
        path: Path,
        descriptor: int,
        layout: FrameWriterLayout | None,
        expected: int,
        *,
        rows: int,
        growth: Growth,
        segments: Segments | None = None,
    ) -> None:
        self._path, self._segments = path, segments
        own_chunks = expected * layout.chunks_a_frame if layout and segments is None else 0
        self._file = file = open_swmr(path, own_chunks)
        self._layout = layout
        self._descriptor = descriptor
        self._rows_place = file[SERIES]["rows"].id.get_offset()
        # Whether its own index of frames is there first, or in other files.
        self._indexed = layout is None or layout.fixed or segments is not None
        self._numbers = FrameNumbers(file[DETECTOR], rows, growth.notes_bytes, descriptor)
        self._store: FrameStore | None = None
        # Below this, a row that has no frame may hold something else.
        self._unclean_below = 0
        self._extent = 0
        if layout is not None:
            self._store = self._open_store(layout, expected, rows, growth.runs)
            self._unclean_below = _EVERY_ROW if self._indexed else self._store.extent
            self._extend()
        elif expected:
            self._numbers.extend(expected)
        file.flush()

    def _open_store(self, layout: FrameWriterLayout, expected: int, rows: int, runs: Sequence[Run]) -> FrameStore:
        if self._segments is None:
            datasets = FrameDatasets(self._file, DETECTOR, layout)
            return open_store(datasets, self._descriptor, expected, rows=rows, runs=runs)
        detector = self._file[DETECTOR]
        names = [list(detector[dataset.name].attrs["part_names"]) for dataset in layout.datasets]
        return SegmentedStore(self._path, self._segments, layout, names, expected, rows=rows, runs=runs)

    @property
    def descriptors(self) -> list[int]:
        """Open files in which there is something of it."""
        return [self._descriptor, *(self._store.descriptors if self._store else ())]

    @property
    def growth(self) -> Growth:
        """How far it has grown."""
        runs = () if self._store is None else self._store.runs
        return Growth(notes_bytes=self._numbers.notes_bytes, runs=runs)

    def write(self, header: Data, payload: Sequence[Payload], row: int, count: int) -> None:
        """Stores the parts of a frame in its row, untouched, and its numbers."""
        if self._store is not None:
            self._store.write(row, payload)
            if self._store.extent > self._extent:
                self._extend()
        self._numbers.set(header, row, count)

    def _extend(self) -> None:
        """Axis and signal of the default plot have one length at any time."""
        assert self._store is not None  # noqa: S101  # it was extended
        self._extent = self._store.extent
        self._numbers.extend(self._extent)

    def void(self, rows: int) -> None:
        """What stands below `rows` may not count any more."""
        self._unclean_below = max(self._unclean_below, rows)

    def flush(self, rows: int) -> None:
        """Pixels, numbers, index, and last how many rows there are.

        Where the index was there first, nothing is left for HDF5 to do: neither its time, nor a disk on which it
        could not extend the index any more, stands between written frames and their flush.
        """
        if self._store is not None:
            self._store.flush()
        if self._numbers.flush() or not self._indexed:
            self._file.flush()
        os.pwrite(self._descriptor, rows.to_bytes(8, "little"), self._rows_place)

    def close(self, rows: int, unwritten: Spans) -> Spans:
        """Closes the file; those rows without a frame that are too many to be filled."""
        unwritten = Spans((first, min(last, rows - 1)) for first, last in unwritten)
        wide = self._blank(unwritten)
        self._numbers.flush()
        self._numbers.number_missing(unwritten)
        self.flush(rows)
        if self._store is not None:
            self._store.close(rows, wide)
        self._file.close()
        return wide

    def _blank(self, unwritten: Spans) -> Spans:
        wide = Spans()
        if self._store is None or self._layout is None:
            return wide
        most = min(_FILL_ROWS, _FILL_BYTES // self._layout.frame_bytes)
        if self._segments is not None and len(unwritten) <= _MOST_STRETCHES:
            most = 0
        for first, last in unwritten:
            last = min(last, self._unclean_below - 1)  # noqa: PLW2901
            if last - first >= most:
                wide.add(first, last)
            else:
                for row in range(first, last + 1):
                    self._store.blank(row)
        return wide

    def finish(self, file: h5py.File, rows: int, wide: Spans) -> None:
        """Cuts everything to its rows, once closed; `wide` is what `close` gave back."""
        layouts = self._layout.datasets if self._layout else ()
        cut(file, layouts if self._segments is None else (), rows, self._numbers.notes_bytes)
        if self._segments is not None:
            show_ended(file[DETECTOR], layouts, self._segments, self._path, rows=rows, hidden=wide)
        elif wide.count:
            hide(file[DETECTOR], layouts, wide)
            plot_frames(file)

    def abandon(self) -> bool:
        """Closes without a word; whether HDF5 could."""
        if self._store is not None:
            self._store.abandon()
        try:
            self._file.close()
        except HDF5_ERRORS:
            return False
        return True


def show(file: h5py.File, layout: FrameWriterLayout, expected: int, segments: Segments | None, path: Path) -> None:
    """Takes back what `finish` has hidden, so that the series can go on."""
    if segments is None:
        unhide(file[DETECTOR], layout.datasets)
        plot_frames(file)
    else:
        show_running(file[DETECTOR], layout.datasets, segments, path, expected)
