"""Per-frame numbers as one-dimensional datasets that grow with the frames; written in blocks, at each flush."""

from typing import Any, Self

import h5py
import numpy as np

__all__ = ["Column"]

_CHUNK = 1024


class Column:
    """One number a frame. Rows may be skipped (they hold the fill value) and set again."""

    def __init__(self, group: h5py.Group, name: str, dtype: str, fill: Any, units: str | None = None) -> None:
        dataset = group.create_dataset(
            name, shape=(0,), maxshape=(None,), chunks=(_CHUNK,), dtype=dtype, fillvalue=fill
        )
        if units:
            dataset.attrs["units"] = units
        self._open(dataset)

    def _open(self, dataset: h5py.Dataset) -> None:
        self.dataset = dataset
        self._dtype = dataset.dtype
        self._start = self._length = len(dataset)
        self._values: list[Any] = []

    @classmethod
    def resume(cls, dataset: h5py.Dataset, rows: int) -> Self:
        """The column that a file has, cut to so many rows."""
        if len(dataset) > rows:
            dataset.id.set_extent((rows,))
        column = cls.__new__(cls)
        column._open(dataset)
        return column

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

    def _write(self, start: int, values: "np.ndarray[Any, Any]") -> None:
        stop = start + len(values)
        handle = self.dataset.id
        if stop > self._length:
            handle.set_extent((stop,))
            self._length = stop
        space = handle.get_space()
        space.select_hyperslab((start,), (len(values),))
        handle.write(h5py.h5s.create_simple((len(values),)), space, values)

    def cut(self, rows: int) -> None:
        """Makes the column exactly `rows` long."""
        self.flush()
        if rows != self._length:
            self.dataset.id.set_extent((rows,))
            self._length = rows
