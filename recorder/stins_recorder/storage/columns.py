"""Per-frame numbers as one-dimensional datasets that grow with the frames; written in blocks, at each flush."""

from collections.abc import Callable
from typing import Any, Self, TypeAlias

import h5py
import numpy as np

from .transaction import write_all

__all__ = ["Column", "Numbers"]

Numbers: TypeAlias = "np.ndarray[Any, Any]"
_CHUNK = 1024


class Column:
    """One number a frame. Rows may be skipped (they hold the fill value) and set again.

    The dataset is extended by blocks: it is longer than what was set. Where a `descriptor` of the file is given, what
    lies in a block that has its place is written there directly: HDF5, which keeps nothing of it, takes 0.1 ms for each
    column of each point of a scan.
    """

    def __init__(self, dataset: h5py.Dataset, rows: int = 0, descriptor: int = -1) -> None:
        """Goes on behind the first `rows` rows of a dataset; what stands behind them is void."""
        self.dataset = dataset
        self._descriptor = descriptor
        # Of the block that was written last.
        self._block, self._place = -1, 0
        self._dtype = dataset.dtype
        self._start = rows
        self._values: list[Any] = []
        self._length = len(dataset)
        #: Whether the dataset got longer, which others see after a flush of the file only.
        self.extended = False
        #: Those that are told which row was written and what: numbers that follow from these.
        self.followers: list[Callable[[int, Numbers], None]] = []
        if self._length > rows:
            self._write(rows, np.full(self._length - rows, dataset.fillvalue, self._dtype))

    @classmethod
    def create(
        cls, group: h5py.Group, name: str, dtype: str, fill: Any, units: str | None = None, *, ahead: bool = False
    ) -> Self:
        """A new, empty column. `ahead`: rows get their place in the file when the column is extended."""
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((_CHUNK,))
        properties.set_fill_value(np.array(fill, dtype))
        if ahead:
            properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            properties.set_fill_time(h5py.h5d.FILL_TIME_ALLOC)
        space = h5py.h5s.create_simple((0,), (h5py.h5s.UNLIMITED,))
        kind = h5py.h5t.py_create(np.dtype(dtype), logical=True)
        dataset = h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind, space, properties))
        if units:
            dataset.attrs["units"] = units
        return cls(dataset)

    def set(self, row: int, value: Any) -> None:
        """Sets the number of a row."""
        place = row - self._start
        if place == len(self._values):
            self._values.append(value)
        elif place > len(self._values):
            # Rows that are skipped stay unwritten: however wide the gap, it costs no memory.
            self.flush()
            self._start = row
            self._values.append(value)
        elif place >= 0:
            self._values[place] = value
        else:  # a row that was written before: a late frame, or one that is taken again
            self._write(row, np.array([value], self._dtype))

    def put(self, row: int, values: Numbers) -> None:
        """Sets the numbers of rows that are flushed already."""
        self._write(row, values.astype(self._dtype))

    def flush(self) -> None:
        """Writes what is new to the dataset."""
        if self._values:
            self._write(self._start, np.array(self._values, self._dtype))
            self._start += len(self._values)
            self._values.clear()

    @property
    def next_row(self) -> int:
        """The row after the last one that was set."""
        return self._start + len(self._values)

    def extend(self, rows: int) -> None:
        """Makes the dataset so many rows long at least."""
        if rows > self._length:
            self._length = rows
            self.dataset.id.set_extent((rows,))
            self.extended = True

    def _write(self, start: int, values: Numbers) -> None:
        if (stop := start + len(values)) > self._length:
            self.extend(-(-stop // _CHUNK) * _CHUNK)
        if self._has_place(start, stop):
            offset = self._place + start % _CHUNK * values.itemsize
            write_all(self._descriptor, values.tobytes(), offset)
        else:
            handle = self.dataset.id
            space = handle.get_space()
            space.select_hyperslab((start,), (len(values),))
            handle.write(h5py.h5s.create_simple((len(values),)), space, values)
        for follow in self.followers:
            follow(start, values)

    def _has_place(self, start: int, stop: int) -> bool:
        """Whether these rows are of one block, and it is known where that stands: HDF5 makes room for it first."""
        block = start // _CHUNK
        if self._descriptor < 0 or (stop - 1) // _CHUNK != block:
            return False
        if block != self._block:
            place = self.dataset.id.get_chunk_info_by_coord((block * _CHUNK,)).byte_offset
            if place is None:
                return False
            self._block, self._place = block, place
        return True
