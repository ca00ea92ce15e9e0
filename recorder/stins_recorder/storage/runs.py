"""Rows whose chunks lie in the file one behind the other, so that each has an address that can be reckoned."""

import os
from collections.abc import Sequence
from typing import Any

import h5py
import msgspec
import numpy as np

from ..layout import DatasetLayout
from .datasets import FrameDatasets
from .hdf5 import ALIGNED_FROM, ALIGNMENT, meta_bytes

__all__ = ["Run", "allocate", "confirmed", "merged"]

_MARK_BYTES = 8


class Run(msgspec.Struct, frozen=True):
    """Rows `first` to `stop - 1`: part i of a row stands at `base + (row - first) * step`, with its (base, step)."""

    first: int
    stop: int
    places: tuple[tuple[int, int], ...]

    def extents(self, sizes: Sequence[int], first: int, stop: int | None = None) -> list[tuple[int, int]]:
        """(offset, size) of what its rows from `first` to `stop` take in the file, for each dataset, to the byte.

        `sizes` are those of a row's parts. Behind the last chunk HDF5 puts something else. Into the gap between two it
        doesn't: a gap is smaller than a page, and all that is allocated while frames come are blocks of its index and
        chunks of columns, of a page at least.
        """
        begin = max(first, self.first)
        rows = (self.stop if stop is None else min(stop, self.stop)) - begin
        if rows <= 0:
            return []
        # Parts of one dataset lie within one step of its first.
        ends: dict[int, int] = {}
        start, within = -1, -1
        for part in sorted(range(len(self.places)), key=lambda part: self.places[part]):
            base, step = self.places[part]
            if not start <= base < within:
                start, within = base, base + step
            ends[start + (begin - self.first) * step] = base + (begin - self.first + rows - 1) * step + sizes[part]
        return [(offset, end - offset) for offset, end in ends.items()]


class _Span(msgspec.Struct, frozen=True):
    """Where the new rows of one dataset begin, and how far apart two rows and two chunks are (bytes)."""

    base: int
    row_bytes: int
    chunk_bytes: int


def allocate(datasets: FrameDatasets, descriptor: int, rows: int) -> Run | None:
    """Extends the datasets by so many rows, which HDF5 gives their place at once.

    HDF5 has no quick way to ask for the places: it counts through all chunks before (850 us for the 20,000th), and
    h5py takes 1.1 us for each chunk. But it allocates them in order, at the end of the file. So they are reckoned from
    how much longer the file has got, and proven: what is written to the place reckoned for the first and for the last
    chunk must be what HDF5 reads from these chunks. None where it is not so, as when HDF5 needed room for its index in
    between: these rows are written by HDF5.
    """
    first = datasets.extent
    _lengthen(datasets, descriptor, rows)
    spans = [
        _extend(datasets, handle, layout, first + rows)
        for handle, layout in zip(datasets.handles, datasets.layout.datasets, strict=True)
    ]
    datasets.extend(first + rows)
    proven = [
        span is not None and _proven(handle, layout, descriptor, range(first, first + rows), span)
        for handle, layout, span in zip(datasets.handles, datasets.layout.datasets, spans, strict=True)
    ]
    if not all(proven):
        return None
    return Run(first, first + rows, tuple(_places(datasets, spans)))


def confirmed(datasets: FrameDatasets, run: Run, rows: int) -> Run | None:
    """A run of an earlier writer as far as it still holds, of which the first `rows` rows are sure to be in use.

    The file may have been cut since, and extended again to other places. HDF5 is asked for the ends (90 ns for each
    row before them).
    """
    for stop in (min(run.stop, datasets.extent), min(run.stop, rows)):
        if stop > run.first and _stands(datasets, run, run.first) and _stands(datasets, run, stop - 1):
            return Run(run.first, stop, run.places)
    return None


def _stands(datasets: FrameDatasets, run: Run, row: int) -> bool:
    layout = datasets.layout
    return all(
        datasets.handles[target].get_chunk_info_by_coord((row, *offset)).byte_offset == base + (row - run.first) * step
        for target, offset, (base, step) in zip(layout.targets, layout.offsets, run.places, strict=True)
    )


def merged(run: Run, after: Run) -> Run | None:
    """Two runs as one, if the second goes on where the first ends."""
    rows = after.first - run.first
    moved = tuple((base + rows * step, step) for base, step in run.places)
    return Run(run.first, after.stop, run.places) if run.stop == after.first and moved == after.places else None


def _lengthen(datasets: FrameDatasets, descriptor: int, rows: int) -> None:
    """Makes the file as long as it is going to be: a writer that dies now may leave chunks in the index that the next
    one does not know of. That one allocates behind the end of the file, and so behind them."""
    layout = datasets.layout
    size = rows * sum(d.chunks_a_frame * -(-d.chunk_bytes // ALIGNMENT) * ALIGNMENT for d in layout.datasets)
    end = datasets.file.id.get_filesize() + size + meta_bytes(rows * layout.chunks_a_frame)
    if os.fstat(descriptor).st_size < end:
        os.ftruncate(descriptor, end)


def _extend(datasets: FrameDatasets, handle: Any, layout: DatasetLayout, rows: int) -> _Span | None:
    """Where the new chunks lie, if nothing but them has been added to the file."""
    file, old = datasets.file.id, handle.shape[0]
    size = layout.chunk_bytes
    step = -(-size // ALIGNMENT) * ALIGNMENT if size >= ALIGNED_FROM else size
    end = file.get_filesize()
    base = -(-end // ALIGNMENT) * ALIGNMENT if size >= ALIGNED_FROM else end
    handle.set_extent((rows, *layout.shape))
    chunks = (rows - old) * layout.chunks_a_frame
    if old != datasets.extent or file.get_filesize() != base + (chunks - 1) * step + size:
        return None
    return _Span(base, layout.chunks_a_frame * step, step)


def _proven(handle: Any, layout: DatasetLayout, descriptor: int, rows: range, span: _Span) -> bool:
    """Whether HDF5 reads from the first and the last chunk what was written to their places."""
    zeros = (0,) * len(layout.shape)
    ends = tuple((side - 1) // chunk * chunk for side, chunk in zip(layout.shape, layout.chunks, strict=True))
    last = span.base + len(rows) * span.row_bytes - span.chunk_bytes
    return _marked(handle, layout, descriptor, (rows[0], *zeros), span.base) and _marked(
        handle, layout, descriptor, (rows[-1], *ends), last
    )


def _marked(handle: Any, layout: DatasetLayout, descriptor: int, corner: tuple[int, ...], place: int) -> bool:
    dtype = np.dtype(layout.dtype)
    width = min(layout.chunks[-1], layout.shape[-1] - corner[-1], _MARK_BYTES // dtype.itemsize)
    mark = os.urandom(width * dtype.itemsize)
    os.pwrite(descriptor, mark, place)
    found = np.zeros(width, dtype)
    space = handle.get_space()
    space.select_hyperslab(corner, (1,) * (len(corner) - 1) + (width,))
    handle.read(h5py.h5s.create_simple((width,)), space, found)
    os.pwrite(descriptor, bytes(len(mark)), place)
    return found.tobytes() == mark


def _places(datasets: FrameDatasets, spans: list[_Span | None]) -> list[tuple[int, int]]:
    layout, places = datasets.layout, []
    for target, offset in zip(layout.targets, layout.offsets, strict=True):
        dataset, span = layout.datasets[target], spans[target]
        assert span is not None  # noqa: S101  # all are proven
        indices = [start // chunk for start, chunk in zip(offset, dataset.chunks, strict=True)]
        number = int(np.ravel_multi_index(indices, dataset.grid))
        places.append((span.base + number * span.chunk_bytes, span.row_bytes))
    return places
