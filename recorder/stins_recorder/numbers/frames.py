"""The frames of a series that may still be recorded, read from its file."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  # registers the filters that compressed chunks name
import numpy as np

from ..errors import RecorderError
from ..frame_numbers import NO_FRAME
from ..nexus import DETECTOR
from ..storage import HDF5_ERRORS, read_superblock
from ..storage.datasets import fill_value
from .asked import Asked, read_asked
from .reduce import Counted, Pixels

__all__ = ["Frames", "NotNowError"]

#: What the superblock of a file says that is open for writing, with others beside it.
_RUNNING = 5
_SUPERBLOCK_BYTES = 64


class NotNowError(RecorderError):
    """The file is being closed, or opened again: read it in a moment."""


class Frames:
    """Reads beside the recorder. Every method raises what h5py raises.

    Raises:
        RecorderError: nobody asked for numbers of this series.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._buffer: Pixels | None = None
        self._counted: Counted | None = None
        try:
            self._file = self._open()
        except BaseException:
            os.close(self._descriptor)
            raise
        # Of a file that was not closed when it was opened nothing may be believed once it is.
        self._of_running = self._running
        asked = read_asked(self._file)
        if asked is None:
            self.close()
            raise RecorderError(f"{path}: nobody asked for numbers of its frames")
        self.asked: Asked = asked

    def _open(self) -> h5py.File:
        return h5py.File(self._path, "r", swmr=True, locking=False)

    @property
    def _running(self) -> bool:
        head = os.pread(self._descriptor, _SUPERBLOCK_BYTES, 0)
        return read_superblock(head, self._path).flags == _RUNNING

    @property
    def is_there(self) -> bool:
        """Whether it is still the file of that name."""
        return os.path.samestat(os.fstat(self._descriptor), self._path.stat())

    def frame_bytes(self, *, over: bool) -> int:
        """The size of a frame that is not compressed; 0 where the series has no image."""
        data = self._dataset("data", over=over)
        return 0 if data is None else int(np.prod(data.shape[1:])) * data.dtype.itemsize

    def read(self, first: int, last: int, *, over: bool) -> tuple[Pixels, Pixels]:
        """The pixels of rows `first` to `last - 1`, and which of these rows hold a frame.

        `over`: the series is. The pixels are in a buffer that the next call overwrites.

        Raises:
            NotNowError: the file was being closed or opened meanwhile.
        """
        data, sequence = self._dataset("data", over=over), self._dataset("sequence_number", over=over)
        if data is None or sequence is None:
            raise RecorderError(f"{self._path}: it has no images")
        pixels = self._room(last - first, data)
        data.read_direct(pixels, np.s_[first:last])
        numbers = sequence[first:last]
        if self._of_running and not self._running:
            raise NotNowError(f"{self._path}: it is being closed")
        return pixels, _holds_frame(numbers, first) & ~_is_fill(pixels)

    @property
    def counted(self) -> Counted:
        """Which pixels count, and from which value on one is saturated; to be asked for once there is a frame."""
        if self._counted is None:
            self._counted = _counted(self._file[DETECTOR])
        return self._counted

    def close(self) -> None:
        """Closes the file. Closing twice does no harm."""
        with suppress(*HDF5_ERRORS):
            self._file.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _dataset(self, name: str, *, over: bool) -> h5py.Dataset | None:
        """As it is now: what a running file has been given since it was opened is seen after a refresh only."""
        dataset: h5py.Dataset | None = self._file.get(f"{DETECTOR}/{name}")
        if dataset is None or (over and self._of_running):
            self._file.close()
            self._file = self._open()
            self._of_running = self._running
            dataset = self._file.get(f"{DETECTOR}/{name}")
        if dataset is not None and self._of_running:
            dataset.refresh()
        return dataset

    def _room(self, rows: int, data: h5py.Dataset) -> Pixels:
        if self._buffer is None or len(self._buffer) < rows or self._buffer.dtype != data.dtype:
            self._buffer = np.empty((rows, *data.shape[1:]), data.dtype)
        return self._buffer[:rows]


def _counted(detector: h5py.Group) -> Counted:
    mask, saturation, data = detector.get("pixel_mask"), detector.get("saturation_value"), detector["data"]
    # A mask is of a whole image; one of another shape says nothing of this frame.
    fits = mask is not None and mask.shape == data.shape[1:]
    plain = saturation is not None and saturation.shape == () and saturation.dtype.kind in "iuf"
    return Counted(mask=mask[()] == 0 if fits else None, saturation=float(saturation[()]) if plain else None)


def _holds_frame(numbers: Pixels, first: int) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """A row gets its number with its frame; until then it has none (docs/reference/file.md)."""
    rows = first + np.arange(len(numbers))
    found: np.ndarray[Any, np.dtype[np.bool_]] = numbers != np.where(rows > 0, 0, np.uint64(NO_FRAME))
    return found


def _is_fill(pixels: Pixels) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Which of them are no frame: a row of a closed file may have the number of a frame that is missing."""
    fill = fill_value(pixels.dtype)
    flat = pixels.reshape(len(pixels), -1)
    blank = np.isnan if pixels.dtype.kind == "f" else lambda values: values == fill
    suspects = blank(flat[:, 0]) & blank(flat[:, -1])
    for row in np.flatnonzero(suspects):
        suspects[row] = blank(flat[row]).all()
    return np.asarray(suspects)
