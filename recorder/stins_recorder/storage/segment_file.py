"""One data file of a series in several: frames, and nothing else."""

import os
from collections.abc import Sequence
from contextlib import suppress
from errno import ENOENT
from pathlib import Path
from typing import Self

import h5py

from stins import Spans

from ..errors import RecorderError
from ..layout import FrameWriterLayout
from ..segments import FRAMES, MARK, Segments
from .claim import claim
from .creation import create_file, settle
from .datasets import FrameDatasets, create_datasets
from .hdf5 import HDF5_ERRORS, open_swmr
from .repair import repair, repair_open
from .runs import Run
from .store import open_store
from .superblock import is_closed
from .sync import sync_folder
from .transaction import change

__all__ = ["SegmentFile", "belongs", "has_mark", "remove_segments", "resize_frames"]


class SegmentFile:
    """An open data file; rows count from its own first one. Methods raise what h5py raises, and `RecorderError`.

    `expected` rows are had ahead, and there are never more than `most`.
    """

    def __init__(
        self,
        path: Path,
        descriptor: int,
        layout: FrameWriterLayout,
        *,
        most: int,
        expected: int = 0,
        rows: int = 0,
        runs: Sequence[Run] = (),
    ) -> None:
        self.path = path
        self.descriptor = descriptor
        self._fixed = layout.fixed
        self._layouts = layout.datasets
        self._file = open_swmr(path, most * layout.chunks_a_frame)
        datasets = FrameDatasets(self._file, FRAMES, layout)
        self._store = open_store(datasets, descriptor, expected, rows=rows, runs=runs, most=most)
        self.write = self._store.write
        self.blank = self._store.blank

    @classmethod
    def create(
        cls,
        path: Path,
        mark: str,
        layout: FrameWriterLayout,
        names: Sequence[Sequence[str]],
        *,
        most: int,
        expected: int,
    ) -> Self:
        """A new one, exclusively; `names` are those of each dataset's parts."""
        descriptor = create_file(path, lambda file: _build(file, path, mark, layout, names))
        try:
            settle(path)
            return cls(path, descriptor, layout, most=most, expected=expected)
        except BaseException:
            os.close(descriptor)
            raise

    @classmethod
    def resume(
        cls,
        path: Path,
        mark: str,
        layout: FrameWriterLayout,
        *,
        most: int,
        expected: int = 0,
        rows: int,
        runs: Sequence[Run] = (),
    ) -> Self:
        """One that is there, whatever became of its writer; `rows` rows are sure to be in use."""
        descriptor = claim(path)
        try:
            repair_open(descriptor, path)
            if not has_mark(path, mark):
                raise RecorderError(f"{path}: it belongs to another series; move it away")
            settle(path)
            return cls(path, descriptor, layout, most=most, expected=expected, rows=rows, runs=runs)
        except BaseException:
            os.close(descriptor)
            raise

    @property
    def runs(self) -> tuple[Run, ...]:
        """The rows whose place in the file is known."""
        return self._store.runs

    def flush(self) -> None:
        """Everything written is with the operating system."""
        self._store.flush()
        if not self._fixed:
            self._file.flush()
        if os.fstat(self.descriptor).st_nlink == 0:
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT), str(self.path))

    def close(self, rows: int, hidden: Spans | None = None) -> None:
        """Gives it exactly so many rows and forces it to the disk; the room of hidden ones is given back."""
        self.flush()
        self._store.close(rows, hidden or Spans())
        self._file.close()
        with h5py.File(self.path, "r", locking=False) as file:
            lengths = {len(file[f"{FRAMES}/{layout.name}"]) for layout in self._layouts}
        if lengths == {rows}:
            os.fdatasync(self.descriptor)
        else:
            change(self.descriptor, lambda file: resize_frames(file, rows), synced=True)
        sync_folder(self.path.parent)
        os.close(self.descriptor)
        self.descriptor = -1

    def abandon(self) -> None:
        """Closes without a word, as if this process had died. Doing it twice, or after `close`, does no harm."""
        if self.descriptor < 0:
            return
        self._store.abandon()
        with suppress(*HDF5_ERRORS):
            self._file.close()
        # HDF5 says only once that it could not close a file.
        with suppress(OSError, RecorderError):
            if not is_closed(self.path):
                repair_open(self.descriptor, self.path)
        with suppress(OSError):
            os.close(self.descriptor)
        self.descriptor = -1


def _build(file: h5py.File, path: Path, mark: str, layout: FrameWriterLayout, names: Sequence[Sequence[str]]) -> None:
    file.attrs.update({"NX_class": "NXroot", "default": "entry", "file_name": str(path), MARK: mark})
    entry = file.create_group("entry")
    entry.attrs.update({"NX_class": "NXentry", "default": "data"})
    data = entry.create_group("data")
    create_datasets(data, layout, names)
    data.attrs.update({"NX_class": "NXdata", "signal": layout.datasets[0].name})
    if len(layout.datasets[0].shape) > 1:
        data[layout.datasets[0].name].attrs["interpretation"] = "image"


def resize_frames(file: h5py.File, rows: int) -> None:
    """Makes all frames of a data file exactly so many rows."""
    for dataset in file[FRAMES].values():
        dataset.resize(rows, axis=0)


def has_mark(path: Path, mark: str) -> bool:
    """Whether a data file that is whole is one of this series."""
    with h5py.File(path, "r", locking=False) as file:
        return bool(file.attrs.get(MARK) == mark)


def belongs(path: Path, mark: str) -> bool:
    """Whether a file is one of the series' data files, and nobody writes it; it is whole then."""
    try:
        repair(path)
        return has_mark(path, mark)
    except (OSError, RecorderError):
        return False


def remove_segments(series: Path, segments: Segments, *, since: int = 0) -> None:
    """Removes the series' data files from this index on: no frame that counts stands in them."""
    for index, path in list(segments.standing(series)):
        if index >= since and belongs(path, segments.mark):
            path.unlink()
            settle(path)
