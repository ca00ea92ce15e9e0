"""One series as one NeXus file: created exclusively, SWMR from the first frame, frames stored as they came.

Storage contract (docs/explanations/storage.md): HDF5 1.10 format, one chunk a part, a flush makes everything written
so far readable by other processes and safe from the death of this one.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  # registers the filters that stored chunks name
import numpy as np
from msgspec import UNSET, UnsetType

from stins import Data, SeriesResult, SeriesStart
from stins.messages import Payload

from .errors import RecorderError, storage_error
from .frame_numbers import FrameNumbers
from .layout import DatasetLayout, FrameWriterLayout, frame_layout
from .nexus import DETECTOR, SERIES, add_default_plot, build_tree, now_iso
from .tree import store_tree

__all__ = ["DATASET", "SeriesFile", "create_dataset"]

DATASET = f"{DETECTOR}/data"
_LIBVER = ("v110", "v110")
#: Extend by blocks of about this size: an extension is a change of metadata, a frame is not.
_BLOCK_BYTES = 256 << 20
_HDF5_ERRORS = (OSError, RuntimeError, ValueError, KeyError)


class SeriesFile:
    """The open file of one series.

    Every method raises `StorageError` (with step, file and remedy) when the disk or HDF5 fails; after that only
    `close` may be called.
    """

    def __init__(self, path: Path, start: SeriesStart, payload: Sequence[Payload]) -> None:
        self.path = path
        self._announced = FrameWriterLayout((), (), ())
        self._layout: FrameWriterLayout | None = None
        self._datasets: list[Any] = []
        self._numbers: FrameNumbers | None = None
        self._described: Sequence[object] | UnsetType = UNSET
        self._rows = 0
        self._extent = 0
        expected = start.series.frames_expected if start.series is not UNSET else UNSET
        self._expected = 0 if isinstance(expected, UnsetType) else expected
        self._file = self._create()
        try:
            build_tree(self._file, start, payload)
            self._announced = frame_layout(start.data or (), start.frame)
        except RecorderError:
            self._discard()
            raise
        except _HDF5_ERRORS as error:
            self._discard()
            raise storage_error("create", path, error) from error

    @property
    def frames_layout(self) -> DatasetLayout | None:
        """The dataset of the frames, once it is known what they look like."""
        layout = self._layout or self._announced
        return layout.datasets[0] if layout.datasets else None

    @property
    def chunk_shape(self) -> tuple[int, ...] | None:
        """The HDF5 chunk of that dataset, frame axis included."""
        return None if self.frames_layout is None else (1, *self.frames_layout.chunks)

    # -- frames ---------------------------------------------------------------------------------

    def write(self, header: Data, payload: Sequence[Payload], row: int, count: int) -> None:
        """Stores the parts of a frame in its row, untouched, and its numbers."""
        try:
            if self._numbers is None:
                self._begin(header)
            assert self._numbers is not None  # noqa: S101
            if payload:
                self._write_parts(header, payload, row)
            self._numbers.set(header, row, count)
        except _HDF5_ERRORS as error:
            raise storage_error("write", self.path, error) from error
        self._rows = max(self._rows, row + count)

    def _write_parts(self, header: Data, payload: Sequence[Payload], row: int) -> None:
        if header.data != self._described:
            self._check_described(header)
        layout = self._layout
        assert layout is not None  # noqa: S101
        if row >= self._extent:
            self._extend(row + 1)
        for target, offset, content in zip(layout.targets, layout.offsets, payload, strict=True):
            self._datasets[target].write_direct_chunk((row, *offset), content)

    def flush(self) -> None:
        """Makes all rows written so far readable by others and safe from the death of this process."""
        try:
            if self._numbers is not None:
                self._numbers.flush()
            self._file.flush()
        except _HDF5_ERRORS as error:
            raise storage_error("flush", self.path, error) from error

    # -- the end --------------------------------------------------------------------------------

    def close(self, result: SeriesResult, account: dict[str, Any]) -> None:
        """Cuts the datasets to their rows and writes the account and `end_time`; the file is closed in any case."""
        try:
            self._cut(result.rows)
            self._file.close()
            self._write_account(result, account)
        except _HDF5_ERRORS as error:
            self.abandon()
            raise storage_error("close", self.path, error) from error

    def abandon(self) -> None:
        """Closes without a word: after an error the dataset must not be touched any more."""
        with suppress(*_HDF5_ERRORS):
            self._file.close()

    def _cut(self, rows: int) -> None:
        if self._numbers is None:
            return
        for column in self._numbers.columns():
            column.cut(rows)
        self._numbers.flush()
        for dataset, layout in zip(self._datasets, self._layout.datasets if self._layout else (), strict=True):
            dataset.set_extent((rows, *layout.shape))

    def _write_account(self, result: SeriesResult, account: dict[str, Any]) -> None:
        # SWMR allows no new objects, so the account is written by opening the file once more. Readers that have it
        # open don't matter to us (locking=False): nobody else writes.
        with h5py.File(self.path, "r+", libver=_LIBVER, locking=False) as file:
            if self._numbers is None:
                self._empty_plot(file)
            store_tree(file[SERIES], account)
            missing = np.array(result.missing, "<u8").reshape(-1, 2)
            file[SERIES].create_dataset("missing_frames", data=missing)
            if result.end is not None and result.end.detector_specific:
                store_tree(file[DETECTOR].require_group("detector_specific_end"), result.end.detector_specific)
                file[DETECTOR]["detector_specific_end"].attrs["NX_class"] = "NXcollection"
            file["/entry/end_time"] = now_iso()

    def _empty_plot(self, file: h5py.File) -> None:
        """A series that ended before its first frame: the default plot is empty, not absent."""
        if self._announced.datasets:
            file[DETECTOR].create_dataset("sequence_number", shape=(0,), dtype="<u8")
            for layout in self._announced.datasets:
                create_dataset(file[DETECTOR], layout)
            add_default_plot(file, "sequence_number", 1 + len(self._announced.datasets[0].shape))

    # -- creation -------------------------------------------------------------------------------

    def _create(self) -> h5py.File:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # rdcc_nbytes=0: whole chunks pass the cache by; 1 MiB of metadata in one block saves small writes.
            return h5py.File(self.path, "x", libver=_LIBVER, locking=False, rdcc_nbytes=0, meta_block_size=1 << 20)
        except _HDF5_ERRORS as error:
            raise storage_error("create", self.path, error) from error

    def _discard(self) -> None:
        self.abandon()
        with suppress(OSError):
            self.path.unlink()

    def _begin(self, first: Data) -> None:
        """The first frame: everything that a frame needs must stand before SWMR begins.

        The datasets wait for it because a series-start doesn't say how frames will be compressed.
        """
        if first.data:
            self._create_datasets(first)
        self._numbers = FrameNumbers(self._file[DETECTOR], first)
        if self._layout is not None:
            add_default_plot(self._file, "sequence_number", 1 + len(self._layout.datasets[0].shape))
        else:
            self._plot_numbers()
        self._file.swmr_mode = True

    def _plot_numbers(self) -> None:
        """A source without images: its first number is the default plot."""
        assert self._numbers is not None  # noqa: S101
        data = self._file["/entry/data"]
        columns = [column.dataset for column in self._numbers.columns()]
        signal = next((c for c in columns if c.name.rpartition("/")[0].endswith("frame_specific")), columns[0])
        name = signal.name.rpartition("/")[2]
        data[name] = signal
        data["frame_number"] = self._numbers.sequence.dataset
        data.attrs.update({"signal": name, "axes": ["frame_number"], "frame_number_indices": 0})
        signal.attrs["target"] = signal.name

    def _create_datasets(self, first: Data) -> None:
        layout = frame_layout(first.data or (), first.frame)
        if self._announced.datasets:
            self._compare(first, layout, self._announced, _shapes)
        self._layout, self._described = layout, first.data
        self._datasets = [create_dataset(self._file[DETECTOR], dataset) for dataset in layout.datasets]
        self._extend(max(1, self._expected))

    def _check_described(self, header: Data) -> None:
        """Frames must look like the first one."""
        if self._layout is None:
            raise RecorderError(f"frame {header.frame_number} has an image, the frames before it had none")
        self._compare(header, frame_layout(header.data or (), header.frame), self._layout, _words)
        self._described = header.data

    @staticmethod
    def _compare(
        header: Data, got: FrameWriterLayout, expected: FrameWriterLayout, say: Callable[[FrameWriterLayout], str]
    ) -> None:
        """Refuses by name a frame that does not look as announced, before it is written."""
        if say(got) != say(expected):
            raise RecorderError(f"frame {header.frame_number}: got {say(got)}, expected {say(expected)} as announced")

    def _extend(self, rows: int) -> None:
        assert self._layout is not None  # noqa: S101
        for dataset, layout in zip(self._datasets, self._layout.datasets, strict=True):
            frame_bytes = int(np.prod(layout.shape)) * np.dtype(layout.dtype).itemsize
            block = max(1, min(1024, _BLOCK_BYTES // frame_bytes))
            self._extent = -(-rows // block) * block
            dataset.set_extent((self._extent, *layout.shape))


def create_dataset(group: h5py.Group, layout: DatasetLayout) -> Any:
    """The low-level handle: the high-level one looks everything up again at each call (434 against 18 us a frame)."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((1, *layout.chunks))
    dtype = np.dtype(layout.dtype)
    properties.set_fill_value(np.array(_fill_value(dtype), dtype))
    if layout.filter is not None:
        # Options of bitshuffle: block size chosen by the library (0), LZ4 (2); plain LZ4 takes a block size (0).
        properties.set_filter(layout.filter, h5py.h5z.FLAG_OPTIONAL, (0, 2) if layout.filter == 32008 else (0,))
    unlimited = (h5py.h5s.UNLIMITED, *layout.shape)
    space = h5py.h5s.create_simple((0, *layout.shape), unlimited)
    name = layout.name.encode()
    handle = h5py.h5d.create(group.id, name, h5py.h5t.py_create(dtype, logical=True), space, properties)
    h5py.Dataset(handle).attrs["units"] = "counts"
    return handle


def _fill_value(dtype: "np.dtype[Any]") -> Any:
    """What a missing frame reads as: the largest unsigned number (as vendors mark invalid pixels), -1, NaN."""
    return {"u": np.iinfo(dtype).max if dtype.kind == "u" else 0, "i": -1, "f": np.nan}[dtype.kind]


def _shapes(layout: FrameWriterLayout) -> str:
    return ", ".join(f"{d.name} {list(d.shape)} {d.dtype}" for d in layout.datasets)


def _words(layout: FrameWriterLayout) -> str:
    kinds = ", ".join(f"{d.name} {list(d.shape)} {d.dtype} {d.compression}" for d in layout.datasets)
    return f"{kinds} in {len(layout.offsets)} parts at {layout.offsets}"
