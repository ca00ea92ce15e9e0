"""The frames of a series that may still be recorded, read from its file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  # registers the filters that compressed chunks name
import msgspec
import numpy as np

from ..errors import RecorderError
from ..frame_numbers import NO_FRAME
from ..nexus import DETECTOR, SERIES
from ..storage import read_superblock
from ..storage.datasets import fill_value
from .asked import Asked, read_asked
from .reduce import Counted, Pixels

__all__ = ["Batch", "Frames", "NotNowError"]

#: What the superblock of a file says that is open for writing, with others beside it.
_RUNNING = 5
_SUPERBLOCK_BYTES = 64
#: So many bytes of pixels are read at once: 10 to 50 ms.
_BATCH_BYTES = 16 << 20
Rows = np.ndarray[Any, np.dtype[np.bool_]]


class NotNowError(RecorderError):
    """The file is being closed, or opened again: read it in a moment."""


class Batch(msgspec.Struct, frozen=True):
    """The pixels of some rows, in a buffer that the next batch overwrites; which rows hold a frame; what counts."""

    pixels: Pixels
    holds_frame: Rows
    counted: Counted


class Frames:
    """Opens the file for each batch anew: whatever a writer has done to it meanwhile, what is seen is how it is now.

    Every method raises what h5py raises.

    Raises:
        RecorderError: nobody asked for numbers of this series.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._buffer: Pixels | None = None
        self._counted: Counted | None = None
        with self._open() as file:
            asked = read_asked(file)
        if asked is None:
            raise RecorderError(f"{path}: nobody asked for numbers of its frames")
        self.asked: Asked = asked

    def read(self, first: int, last: int, *, over: bool) -> Batch:
        """Row `first`, and as many of those before `last` as make a batch; `over`: the series is.

        Raises:
            NotNowError: the file was being closed or opened meanwhile, or is another one by now.
            RecorderError: it has no images.
        """
        before = self._flags()
        with self._open() as file:
            if read_asked(file) != self.asked:
                raise NotNowError(f"{self._path}: it is another file by now")
            data, sequence = file.get(f"{DETECTOR}/data"), file.get(f"{DETECTOR}/sequence_number")
            if data is None or sequence is None:
                raise RecorderError(f"{self._path}: it has no images")
            frame_bytes = int(np.prod(data.shape[1:])) * data.dtype.itemsize
            last = min(last, first + max(1, _BATCH_BYTES // frame_bytes))
            pixels = self._room(last - first, data)
            data.read_direct(pixels, np.s_[first:last])
            empty = _empty(sequence[first:last], first) | _missing(file, sequence[first:last], pixels)
            counted = self._counted or _counted(file[DETECTOR])
        if self._flags() != before or not (over or before == _RUNNING):
            # What was read while it was being closed may be anything.
            raise NotNowError(f"{self._path}: it is being closed")
        self._counted = counted
        return Batch(pixels, ~empty, counted)

    @contextmanager
    def _open(self) -> Iterator[h5py.File]:
        with h5py.File(self._path, "r", swmr=True, locking=False) as file:
            yield file

    def _flags(self) -> int:
        with self._path.open("rb", buffering=0) as file:
            return read_superblock(os.pread(file.fileno(), _SUPERBLOCK_BYTES, 0), self._path).flags

    def _room(self, rows: int, data: h5py.Dataset) -> Pixels:
        if self._buffer is None or len(self._buffer) < rows or self._buffer.shape[1:] != data.shape[1:]:
            self._buffer = np.empty((rows, *data.shape[1:]), data.dtype)
        return self._buffer[:rows]


def _counted(detector: h5py.Group) -> Counted:
    mask, saturation, data = detector.get("pixel_mask"), detector.get("saturation_value"), detector["data"]
    # A mask is of a whole image; one of another shape says nothing of this frame.
    fits = mask is not None and mask.shape == data.shape[1:]
    plain = saturation is not None and saturation.shape == () and saturation.dtype.kind in "iuf"
    return Counted(mask=mask[()] == 0 if fits else None, saturation=float(saturation[()]) if plain else None)


def _empty(numbers: Pixels, first: int) -> Rows:
    """A row gets its number with its frame; until then it has none (docs/reference/file.md)."""
    rows = first + np.arange(len(numbers))
    return np.asarray(numbers == np.where(rows > 0, 0, np.uint64(NO_FRAME)))


def _missing(file: h5py.File, numbers: Pixels, pixels: Pixels) -> Rows:
    """In a file that is closed, rows without a frame have a number too: that of the missing one.

    Or that of a discarded one, where these were among them: then such a row is known by its pixels.
    """
    series = file[SERIES]
    found = np.zeros(len(numbers), np.bool_)
    if "missing_frames" not in series:
        return found
    for first, last in series["missing_frames"][()]:
        found |= (numbers >= first) & (numbers <= last)
    if len(series["missing_frames"]) and series["discarded"][()]:
        found |= _is_fill(pixels)
    return found


def _is_fill(pixels: Pixels) -> Rows:
    fill = fill_value(pixels.dtype)
    flat = pixels.reshape(len(pixels), -1)
    return np.asarray((np.isnan(flat) if pixels.dtype.kind == "f" else flat == fill).all(axis=1))
