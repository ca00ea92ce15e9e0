"""A data set that stands in several files, read row by row."""

import math
from pathlib import Path
from typing import Any

import dask.array
import h5py
import hdf5plugin  # noqa: F401  # registers the filters

__all__ = ["Rows"]

#: The files are opened for each chunk: a whole series is read in pieces of this size, or a frame at a time.
_CHUNK_BYTES = 1 << 24


class Rows:
    """The first rows of a virtual data set, as an array that Dask takes: what is asked for is read, and no more.

    Tiled takes a data set without chunks for one of a single chunk, and reads all of it for each frame: a series in
    several files, or one of several recorders, which while it runs is as long as no series ever will be.
    """

    def __init__(self, path: Path, dataset: str, rows: int, *, locking: Any = None) -> None:
        self._path, self._dataset, self._locking = path, dataset, locking
        with h5py.File(path, "r", swmr=True, locking=locking) as file:
            self.dtype = file[dataset].dtype
            self.shape = (min(rows, file[dataset].shape[0]), *file[dataset].shape[1:])
        self.ndim = len(self.shape)

    def __getitem__(self, index: Any) -> Any:
        with h5py.File(self._path, "r", swmr=True, locking=self._locking) as file:
            return file[self._dataset][index]

    def lazily(self) -> Any:
        """As a Dask array. Of a chunk, it asks for what is wanted of it."""
        row_bytes = self.dtype.itemsize * math.prod(self.shape[1:])
        rows = max(1, _CHUNK_BYTES // row_bytes)
        return dask.array.from_array(self, chunks=(rows, *self.shape[1:]), name=False)
