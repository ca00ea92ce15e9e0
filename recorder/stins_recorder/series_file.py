"""One series as one NeXus file: created exclusively, SWMR from the first frame, frames stored as they came.

Storage contract (docs/explanations/storage.md): HDF5 1.10 format, one chunk a part, a flush makes everything written
so far readable by other processes and safe from the death of this one.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any, Self

import h5py
import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from stins import Data, FrameLayout, Part, SeriesResult, SeriesStart, Spans, StoreFrame
from stins.messages import SERIES_ARRAYS, Payload

from .datasets import create_dataset
from .errors import RecorderError, storage_error
from .frame_numbers import FrameNumbers
from .layout import DatasetLayout, FrameWriterLayout, frame_layout
from .nexus import DATA, DETECTOR, SERIES, add_default_plot, build_tree, now_iso
from .storage import repair
from .tree import store_tree

__all__ = ["DATASET", "FileCheckpoint", "SeriesFile"]

DATASET = f"{DETECTOR}/data"
_LIBVER = ("v110", "v110")
#: Extend by blocks of about this size: an extension is a change of metadata, a frame is not.
_BLOCK_BYTES = 256 << 20
#: HDF5 numbers the chunks of such a dataset with 32 bits.
_MOST_CHUNKS = 2**32 - 1
#: Cutting a dataset takes HDF5 20 ns for each chunk that could have been there: 0.02 s for what was expected and did
#: not come, 1.3 s for a jump of the frame number; a wider jump is a wrong number.
_CHUNKS_AHEAD, _LONGEST_JUMP = 1 << 20, 1 << 26
#: What the account takes, end meta data (256 KiB at most) included; HDF5 cuts the file to its size.
_ROOM_TO_CLOSE = 1 << 20
_HDF5_ERRORS = (OSError, RuntimeError, ValueError, KeyError)


def _unwatched(_step: str) -> None:
    """Nobody looks whether a call hangs."""


class FileCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a file stands after a flush: enough, with its series-start, to go on after the death of the writer.

    `parts` and `frame` are those of the first frame, None before it; `unwritten` are rows that others came behind.
    """

    rows: int = 0
    unwritten: tuple[tuple[int, int], ...] = ()
    begun: bool = False
    parts: tuple[Part, ...] | None = None
    frame: FrameLayout | None = None


class SeriesFile:
    """The open file of one series.

    Every method raises `StorageError` (with step, file and remedy) when the disk or HDF5 fails; after that only
    `close` may be called.
    """

    def __init__(
        self,
        path: Path,
        start: SeriesStart,
        payload: Sequence[Payload],
        *,
        frames_per_file: int | None = None,
        watch: Callable[[str], None] = _unwatched,
    ) -> None:
        self._prepare(path, start, frames_per_file, watch)
        self._file = self._create()
        try:
            build_tree(self._file, start, payload)
            frames = [part for part in start.data or () if part.name not in SERIES_ARRAYS]
            self._announced = frame_layout(frames, start.frame)
            self._file.flush()
        except RecorderError:
            self._discard()
            raise
        except _HDF5_ERRORS as error:
            self._discard()
            raise storage_error("create", path, error) from error

    def _prepare(
        self, path: Path, start: SeriesStart, frames_per_file: int | None, watch: Callable[[str], None]
    ) -> None:
        self.path = path
        self._watch = watch
        self._frames_per_file = frames_per_file
        self.durable = 0
        self._announced = FrameWriterLayout((), (), ())
        self._layout: FrameWriterLayout | None = None
        self._datasets: list[Any] = []
        self._numbers: FrameNumbers | None = None
        self._described: tuple[Part, ...] | UnsetType = UNSET
        self._frame: FrameLayout | UnsetType = UNSET
        self.rows = 0
        self._unwritten = Spans()
        self._chunks_a_frame = 1
        self._extent = 0
        expected = start.series.frames_expected if start.series is not UNSET else UNSET
        self._expected = 0 if isinstance(expected, UnsetType) else expected

    @classmethod
    def resume(
        cls,
        path: Path,
        start: SeriesStart,
        checkpoint: FileCheckpoint,
        *,
        frames_per_file: int | None = None,
        watch: Callable[[str], None] = _unwatched,
    ) -> Self:
        """Goes on with the file of a writer that died or was suspended: it has the rows of the checkpoint."""
        file = cls.__new__(cls)
        file._prepare(path, start, frames_per_file, watch)
        frames = [part for part in start.data or () if part.name not in SERIES_ARRAYS]
        file._announced = frame_layout(frames, start.frame)
        try:
            file._reopen(checkpoint)
        except _HDF5_ERRORS as error:
            raise storage_error("resume", path, error) from error
        return file

    def _reopen(self, checkpoint: FileCheckpoint) -> None:
        repair(self.path)
        self._file = h5py.File(self.path, "r+", libver=_LIBVER, locking=False, rdcc_nbytes=0, meta_block_size=1 << 20)
        self.rows, self._unwritten = checkpoint.rows, Spans(checkpoint.unwritten)
        if not checkpoint.begun:
            return
        detector = self._file[DETECTOR]
        if checkpoint.parts:
            self._described, self._frame = checkpoint.parts, checkpoint.frame or UNSET
            self._layout = frame_layout(checkpoint.parts, self._frame)
            self._datasets = [detector[layout.name].id for layout in self._layout.datasets]
            self._chunks_a_frame = max(map(_chunks_a_frame, self._layout.datasets))
            self._extent = self._datasets[0].shape[0]
        self._numbers = FrameNumbers.resume(detector, self.rows)
        self._file.swmr_mode = True

    def sync_begin(self) -> None:
        """Starts to force to the disk what is flushed, without waiting for it."""

    def suspend(self) -> None:
        """Closes the file so that anybody can read it; the series may go on in it by `resume`."""
        try:
            self._cut(self.rows)
            self._file.close()
        except _HDF5_ERRORS as error:
            self.abandon()
            raise storage_error("close", self.path, error) from error

    def checkpoint(self) -> FileCheckpoint:
        """Where the file stands; to be called after a flush."""
        return FileCheckpoint(
            rows=self.rows,
            unwritten=self._unwritten.as_tuple(),
            begun=self._numbers is not None,
            parts=None if isinstance(self._described, UnsetType) else self._described,
            frame=None if isinstance(self._frame, UnsetType) else self._frame,
        )

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

    def write(self, frame: StoreFrame) -> None:
        """Stores the parts of a frame in its row, untouched, and its numbers.

        Raises:
            RecorderError: the frame does not look like the others; nothing of it was written.
        """
        header, payload, row = frame.header, frame.packet.payload, frame.row
        end = row + frame.count
        if (end - self.rows) * self._chunks_a_frame > _LONGEST_JUMP:
            raise RecorderError(f"frame {header.frame_number}: got row {row} after {self.rows} rows, which is too far")
        try:
            if self._numbers is None:
                self._begin(header)
            assert self._numbers is not None  # noqa: S101  # made by _begin
            if payload or self._datasets:
                self._write_parts(header, payload, row)
            self._numbers.set(header, row, frame.count)
        except _HDF5_ERRORS as error:
            raise storage_error("write", self.path, error) from error
        self.rows = end if frame.rewound else max(self.rows, end)

    def _write_parts(self, header: Data, payload: Sequence[Payload], row: int) -> None:
        if header.data != self._described:
            self._check_described(header)
        layout = self._layout
        assert layout is not None  # noqa: S101  # or the frame would have been refused
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
            self._cut(min(result.rows, self.rows))
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
        self._make_room(len(result.missing))
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

    def _make_room(self, ranges: int) -> None:
        """Fails before HDF5 begins: a full disk in the middle of it would leave a file that nobody can open."""
        with self.path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), self.path.stat().st_size, _ROOM_TO_CLOSE + 16 * ranges)

    def _empty_plot(self, file: h5py.File) -> None:
        """A series that ended before its first frame: the default plot is empty, not absent."""
        sequence = file[DETECTOR].create_dataset("sequence_number", shape=(0,), dtype="<u8")
        for layout in self._announced.datasets:
            create_dataset(file[DETECTOR], layout)
        if self._announced.datasets:
            add_default_plot(file, "sequence_number", 1 + len(self._announced.datasets[0].shape))
        else:
            _plot_numbers(file, [sequence])

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
            _plot_numbers(self._file, [column.dataset for column in self._numbers.columns()])
        self._file.swmr_mode = True

    def _create_datasets(self, first: Data) -> None:
        layout = frame_layout(first.data or (), first.frame)
        if self._announced.datasets and _shapes(layout) != _shapes(self._announced):
            raise RecorderError(
                f"frame {first.frame_number}: got {_shapes(layout)}, expected {_shapes(self._announced)} as announced"
            )
        self._layout, self._described, self._frame = layout, first.data, first.frame
        self._datasets = [create_dataset(self._file[DETECTOR], dataset) for dataset in layout.datasets]
        for index, dataset in enumerate(self._datasets):
            names = [
                part.name for part, target in zip(first.data or (), layout.targets, strict=True) if target == index
            ]
            h5py.Dataset(dataset).attrs["part_names"] = names
        self._chunks_a_frame = max(map(_chunks_a_frame, layout.datasets))
        self._extend(max(1, min(self._expected, _CHUNKS_AHEAD // self._chunks_a_frame)))

    def _check_described(self, header: Data) -> None:
        """Frames must look like the first one; one that doesn't is refused by name, before it is written."""
        got = frame_layout(header.data or (), header.frame)
        if self._layout is None:
            raise RecorderError(f"frame {header.frame_number}: got an image, the frames before it had none")
        if got != self._layout:
            raise RecorderError(
                f"frame {header.frame_number}: got {_words(got)}, expected {_words(self._layout)} as before"
            )
        self._described = header.data

    def _extend(self, rows: int) -> None:
        assert self._layout is not None  # noqa: S101  # rows are those of the datasets, which come with it
        layouts = self._layout.datasets
        frame_bytes = max(prod(layout.shape) * np.dtype(layout.dtype).itemsize for layout in layouts)
        block = max(1, min(1024, _BLOCK_BYTES // frame_bytes))
        extent = -(-rows // block) * block
        if extent * self._chunks_a_frame > _MOST_CHUNKS:
            raise RecorderError(f"got {rows} rows, expected at most {_MOST_CHUNKS // self._chunks_a_frame} in one file")
        self._extent = extent
        for dataset, layout in zip(self._datasets, layouts, strict=True):
            dataset.set_extent((self._extent, *layout.shape))


def _plot_numbers(file: h5py.File, columns: Sequence[h5py.Dataset]) -> None:
    """A source without images: its first number is the default plot."""
    data = file[DATA]
    signal = next((c for c in columns if c.name.rpartition("/")[0].endswith("frame_specific")), columns[0])
    name = signal.name.rpartition("/")[2]
    name = name if name != "frame_number" else "value"
    data[name] = signal
    data["frame_number"] = columns[0]
    data.attrs.update({"signal": name, "axes": ["frame_number"], "frame_number_indices": 0})
    signal.attrs["target"] = signal.name


def _chunks_a_frame(layout: DatasetLayout) -> int:
    return prod(-(-side // chunk) for side, chunk in zip(layout.shape, layout.chunks, strict=True))


def _shapes(layout: FrameWriterLayout) -> str:
    return ", ".join(f"{d.name} {list(d.shape)} {d.dtype}" for d in layout.datasets)


def _words(layout: FrameWriterLayout) -> str:
    kinds = ", ".join(f"{d.name} {list(d.shape)} {d.dtype} {d.compression}" for d in layout.datasets)
    parts = f" in {len(layout.targets)} parts at {list(map(list, layout.offsets))}" if len(layout.targets) > 1 else ""
    return kinds + parts or "no image"
