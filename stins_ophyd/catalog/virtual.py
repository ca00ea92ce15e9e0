"""A data set that stands in several files, read row by row."""

import math
from pathlib import Path
from typing import Any

import dask.array
import h5py
import hdf5plugin  # noqa: F401  # registers the filters
import msgspec
import numpy as np

__all__ = ["Rows"]

#: The files are opened for each chunk: a whole series is read in pieces of this size, or a frame at a time.
_CHUNK_BYTES = 1 << 24


class Rows:
    """The first rows of a virtual data set, as an array that Dask takes: what is asked for is read, and no more.

    Tiled takes a data set without chunks for one of a single chunk, and reads all of it for each frame: a series in
    several files, or one of several recorders, which while it runs is as long as no series ever will be. Rows are asked
    for as of a NumPy array: by number, slice, list or mask.

    A row that no file has (yet) reads as the fill value. HDF5 2.0 reads it so, too, but where a file lacks one of
    several rows that do not follow each other, it fails with "can't locate piece", or ends the process.
    """

    def __init__(self, path: Path, dataset: str, rows: int, *, locking: Any = None) -> None:
        self._path, self._dataset, self._locking = path, dataset, locking
        with h5py.File(path, "r", swmr=True, locking=locking) as file:
            found = file[dataset]
            self.dtype = found.dtype
            self.shape = (min(rows, found.shape[0]), *found.shape[1:])
            self._pieces = _pieces(found)
        self.ndim = len(self.shape)

    def __getitem__(self, index: Any) -> Any:
        rows, *rest = _of_each_axis(index, self.ndim)
        # The file may have more rows than the series.
        wanted = np.arange(self.shape[0])[rows]
        lacking = self._lacking(wanted)
        with h5py.File(self._path, "r", swmr=True, locking=self._locking) as file:
            dataset = file[self._dataset]
            if lacking.any():
                return _one_by_one(dataset, wanted, lacking, tuple(rest))
            if not wanted.ndim:
                return dataset[(int(wanted), *rest)]
            if isinstance(rows, slice) and (rows.step or 1) > 0:
                return dataset[(slice(*rows.indices(self.shape[0])), *rest)]
            # HDF5 takes rows in their order, each once.
            found, places = np.unique(wanted, return_inverse=True)
            return dataset[(found, *rest)][places]

    def lazily(self) -> Any:
        """As a Dask array. Of a chunk, it asks for what is wanted of it."""
        row_bytes = self.dtype.itemsize * math.prod(self.shape[1:])
        rows = max(1, _CHUNK_BYTES // row_bytes)
        return dask.array.from_array(self, chunks=(rows, *self.shape[1:]), name=False)

    def _lacking(self, wanted: Any) -> Any:
        """Which of these rows the file does not have that is to have them; of a single one HDF5 sees to that."""
        lacking = np.zeros(wanted.shape, bool)
        if wanted.ndim and wanted.size:
            for piece in self._pieces:
                if piece.start <= wanted.max() and piece.stop > wanted.min():
                    lacking |= piece.of(wanted) >= self._length(piece)
        return lacking

    def _length(self, piece: "_Piece") -> int:
        path = self._path if piece.file == "." else self._path.parent / piece.file
        try:
            with h5py.File(path, "r", swmr=True, locking=self._locking) as file:
                return len(file[piece.dataset])
        except (FileNotFoundError, KeyError):
            return 0


def _of_each_axis(index: Any, axes: int) -> list[Any]:
    """What is wanted of each axis: all of those that "..." stands for, as it does at the end where there is none."""
    wanted: list[Any] = list(index) if isinstance(index, tuple) else [index]
    if not any(each is Ellipsis for each in wanted):
        wanted.append(Ellipsis)
    place = next(place for place, each in enumerate(wanted) if each is Ellipsis)
    wanted[place : place + 1] = [slice(None)] * (axes + 1 - len(wanted))
    return wanted


class _Piece(msgspec.Struct, frozen=True):
    """`count` blocks of rows, from `start` on and each `stride` behind the one before, that another file has.

    There they follow each other, from row `first` on.
    """

    file: str
    dataset: str
    first: int
    start: int
    stride: int
    count: int
    block: int

    @property
    def stop(self) -> int:
        """The row behind the last one."""
        return self.start + (self.count - 1) * self.stride + self.block

    def of(self, rows: Any) -> Any:
        """Where they stand in the other file; -1 for those that do not."""
        turn, place = np.divmod(rows - self.start, self.stride)
        return np.where(
            (turn >= 0) & (turn < self.count) & (place < self.block), self.first + turn * self.block + place, -1
        )


def _pieces(dataset: h5py.Dataset) -> list[_Piece]:
    """Of rows that follow no rule, or are as many as the other file has, HDF5 says what it likes."""
    properties, found = dataset.id.get_create_plist(), []
    for index in range(properties.get_virtual_count()):
        space = properties.get_virtual_vspace(index)
        if space.get_select_type() == h5py.h5s.SEL_HYPERSLABS and space.is_regular_hyperslab():
            start, stride, count, block = (int(along[0]) for along in space.get_regular_hyperslab())
            if h5py.h5s.UNLIMITED in (count, block):
                continue
            file, name = properties.get_virtual_filename(index), properties.get_virtual_dsetname(index)
            first = int(properties.get_virtual_srcspace(index).get_select_bounds()[0][0])
            found.append(_Piece(file, name, first, start, stride if count > 1 else block, count, block))
    return found


def _one_by_one(dataset: h5py.Dataset, wanted: Any, lacking: Any, rest: tuple[Any, ...]) -> Any:
    shape = np.broadcast_to(dataset.fillvalue, dataset.shape[1:])[rest].shape
    images = np.full((len(wanted), *shape), dataset.fillvalue, dataset.dtype)
    for place in np.flatnonzero(~lacking):
        images[place] = dataset[(int(wanted[place]), *rest)]
    return images
