"""One series as one NeXus file: created exclusively, SWMR from the first frame, frames stored as they came.

Storage contract: docs/explanations/storage.md.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import ENOENT
from functools import partial
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import h5py
import msgspec
from msgspec import UnsetType

from stins import Data, FrameLayout, Part, SeriesResult, SeriesStart, Spans, StoreFrame
from stins.control import NumbersRequest
from stins.messages import Payload

from ..errors import RecorderError, storage_error
from ..layout import DatasetLayout
from ..nexus import DETECTOR
from ..segments import Segments, named_in
from ..storage import (
    HDF5_ERRORS,
    Syncer,
    change,
    claim,
    create_datasets,
    create_file,
    remove_segments,
    repair_open,
    settle,
    sync_folder,
)
from ..watchdog import unwatched
from .appearance import Appearance
from .asked import write_asked
from .beginning import begin, build
from .ending import Ending, ending_of, write_ending
from .running import Growth, RunningFile, show
from .segment_views import create_views

__all__ = ["DATASET", "FileCheckpoint", "SeriesFile"]

DATASET = f"{DETECTOR}/data"
#: A frame that is so many chunks behind the last one has a wrong number; HDF5 takes 0.3 s for a million of them.
_LONGEST_JUMP = 1 << 23
#: Room and index for so many rows at most are there from the first frame on, where their number is known.
_ROWS_AHEAD = 1 << 19
_NO_ROW = 1 << 63


class FileCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a file stands after a flush: enough, with its series-start, to go on after the death of the writer.

    `parts` and `frame` are those of the first frame (`begun`: there was one, with or without an image); `unwritten`
    are rows that others came behind. With `segments` the frames stand in data files beside it.
    """

    rows: int = 0
    unwritten: tuple[tuple[int, int], ...] = ()
    begun: bool = False
    parts: tuple[Part, ...] | None = None
    frame: FrameLayout | None = None
    growth: Growth = Growth()
    segments: Segments | None = None


class SeriesFile:
    """The open file of one series.

    Every method raises `StorageError` (with step, file and remedy) when the disk or HDF5 fails; after that only
    `flush`, `close` and `abandon` may be called. `watch` is told each step that may hang before it begins, and ""
    after it.
    """

    def __init__(
        self,
        path: Path,
        start: SeriesStart,
        payload: Sequence[Payload],
        *,
        frames_per_file: int | None = None,
        numbers: NumbersRequest | None = None,
        watch: Callable[[str], None] = unwatched,
    ) -> None:
        self._prepare(path, start, Segments(frames_per_file, uuid4().hex) if frames_per_file else None, watch)
        with self._step("create"):
            self._descriptor = create_file(path, partial(self._build, start, payload, numbers))

    def _build(
        self, start: SeriesStart, payload: Sequence[Payload], numbers: NumbersRequest | None, file: h5py.File
    ) -> None:
        build(file, self.path, start, payload, self._segments)
        if numbers is not None:
            write_asked(file, self.path, numbers)

    def _prepare(self, path: Path, start: SeriesStart, segments: Segments | None, watch: Callable[[str], None]) -> None:
        self.path = path
        self.rows = 0
        # How many writes there were, in all and at the last flush; how many frames that flush has made safe.
        self._writes = self._flushed_writes = self._flushed = 0
        self._syncer = Syncer(path.parent, watch)
        self._watch = watch
        self._segments = segments
        self._look = Appearance(start)
        self._unwritten = Spans()
        self._rewritten = _NO_ROW
        self._expected = min(_rows_expected(start), _ROWS_AHEAD)
        self._jump = _LONGEST_JUMP
        self._descriptor = -1
        self._running: RunningFile | None = None

    @classmethod
    def resume(
        cls,
        path: Path,
        start: SeriesStart,
        checkpoint: FileCheckpoint,
        *,
        watch: Callable[[str], None] = unwatched,
    ) -> Self:
        """Goes on with the file of a writer that died or was suspended: it has the rows of the checkpoint."""
        file = cls.__new__(cls)
        file._prepare(path, start, checkpoint.segments, watch)
        try:
            with file._step("resume"):
                file._descriptor = claim(path)
                repair_open(file._descriptor, path)
                file._restore(start, checkpoint)
        except RecorderError:
            file.abandon()
            raise
        return file

    def _restore(self, start: SeriesStart, checkpoint: FileCheckpoint) -> None:
        self.rows, self._unwritten = checkpoint.rows, Spans(checkpoint.unwritten)
        self._flushed = self.rows - self._unwritten.count
        # Whether what was flushed before has reached the disk is not known.
        self._writes = self._flushed_writes = 1
        if not checkpoint.begun:
            return
        self._look = Appearance.resume(start, checkpoint.parts, checkpoint.frame)
        if layout := self._look.layout:
            shown = partial(show, layout=layout, expected=self._expected, segments=self._segments, path=self.path)
            change(self._descriptor, shown, synced=False)
        self._run(checkpoint.growth)

    def checkpoint(self) -> FileCheckpoint:
        """Where the file stands; to be called after a flush."""
        return FileCheckpoint(
            rows=self.rows,
            unwritten=self._unwritten.as_tuple(),
            begun=self._running is not None,
            parts=self._look.parts or None,
            frame=self._look.frame or None,
            growth=Growth() if self._running is None else self._running.growth,
            segments=self._segments,
        )

    @property
    def frames_layout(self) -> DatasetLayout | None:
        """The dataset of the frames, once it is known what they look like."""
        return self._look.default

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
        header, row = frame.header, frame.row
        end = row + frame.count
        if end - self.rows > self._jump:
            raise RecorderError(f"frame {header.frame_number}: got row {row} after {self.rows} rows, which is too far")
        # Not `_step`: it would cost 1 us.
        self._watch("write")
        try:
            if self._running is None:
                self._begin(header)
            elif header.data != self._look.parts:
                self._look.check(header)
            self._running.write(header, frame.packet.payload, row, frame.count)  # type: ignore[union-attr]  # _begin
        except HDF5_ERRORS as error:
            raise storage_error("write", named_in(error, self.path), error) from error
        finally:
            self._watch("")
        self._writes += 1
        if row == self.rows:
            self.rows = end
        else:
            self._note_order(row, end, rewound=frame.rewound)

    def _note_order(self, row: int, end: int, *, rewound: bool) -> None:
        """Rows that others come behind have no frame, until one comes late."""
        assert self._running is not None  # noqa: S101  # a frame was written
        self._rewritten = min(self._rewritten, row)
        if rewound:
            self.rewind(row)
        self._unwritten.add(self.rows, row - 1)
        self._unwritten.remove(row, end - 1)
        self.rows = max(self.rows, end)

    def rewind(self, row: int) -> None:
        """From this row on nothing counts any more: it is taken again."""
        # It may stand behind the rows there are: the first take of its frame was discarded and had none.
        if self._running is None or row >= self.rows:
            return
        self._rewritten = min(self._rewritten, row)
        self._running.void(self.rows)
        self._unwritten.remove(row, self.rows)
        self.rows = row
        self._writes += 1
        # Of the frames that are safe those before this row are left.
        self._flushed = min(self._flushed, row - self._unwritten.count)
        self._syncer.take_back(self._flushed)

    def take_rewritten(self) -> int | None:
        """The first row that may hold something else since this was asked last; None where there is none."""
        row, self._rewritten = self._rewritten, _NO_ROW
        return None if row == _NO_ROW else row

    def flush(self) -> None:
        """Makes all rows written so far readable by others and safe from the death of this process."""
        if self._running is None:
            return
        with self._step("flush"):
            self._running.flush(self.rows)
            self._flushed, self._flushed_writes = self.rows - self._unwritten.count, self._writes
            if os.fstat(self._descriptor).st_nlink == 0:
                raise FileNotFoundError(ENOENT, os.strerror(ENOENT))

    def sync_begin(self, also: Sequence[int] = ()) -> None:
        """Begins to force to the disk what is flushed, then what is behind these descriptors, and does not wait."""
        if self._running is None:
            return
        try:
            self._syncer.begin(self._running.descriptors, self._flushed, self._flushed_writes, also=also)
        except OSError as error:
            raise storage_error("sync", named_in(error, self.path), error) from error

    @property
    def durable(self) -> int:
        """How many rows hold a frame that a power cut does not take: those that were flushed before the last sync."""
        return self._syncer.durable

    # -- the end --------------------------------------------------------------------------------

    def close(self, result: SeriesResult, account: dict[str, Any]) -> None:
        """Cuts the datasets to their rows and writes the account and `end_time`; the file is closed in any case."""
        self._finish(min(result.rows, self.rows), ending_of(result, account))

    def suspend(self) -> None:
        """Closes the file so that anybody can read it; the series may go on in it by `resume`."""
        self._finish(self.rows, None)

    def _finish(self, rows: int, ending: Ending | None) -> None:
        try:
            with self._step("close"):
                self._syncer.finish()
                running, wide = self._running, Spans()
                if running is not None:
                    wide = running.close(rows, self._unwritten)

                def finish(file: h5py.File) -> None:
                    if running is None and ending is not None:
                        begin(file, self._look.announced, None)
                    if ending is not None:
                        write_ending(file, ending)
                    if running is not None:
                        running.finish(file, rows, wide)

                change(self._descriptor, finish, synced=True)
                settle(self.path)
                sync_folder(self.path.parent)
                if not os.path.samestat(self.path.stat(), os.fstat(self._descriptor)):
                    raise FileNotFoundError(ENOENT, os.strerror(ENOENT))
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Closes without a word: after an error the dataset must not be touched any more."""
        # It waits for a sync that is under way.
        self._watch("close")
        self._syncer.close()
        self._watch("")
        if self._running is not None and not self._running.abandon() and self._descriptor >= 0:
            # As if this process had died: what was flushed can be read by anybody.
            with suppress(OSError, RecorderError):
                repair_open(self._descriptor, self.path)
        if self._descriptor >= 0:
            # What it could complain of has been written, and forced to the disk, or has failed before.
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1

    @contextmanager
    def _step(self, step: str) -> Iterator[None]:
        """Names a step to who watches for one that hangs, and in the error of one that fails."""
        self._watch(step)
        try:
            yield
        except HDF5_ERRORS as error:
            raise storage_error(step, named_in(error, self.path), error) from error
        finally:
            self._watch("")

    # -- the first frame ------------------------------------------------------------------------

    def _begin(self, first: Data) -> None:
        """Everything that a frame needs must stand before SWMR begins.

        The datasets wait for it because a series-start doesn't say how frames will be compressed.
        """
        layout = self._look.expected_of(first)
        create = create_datasets
        if self._segments is not None:
            # A writer may have died before its first frame was flushed.
            remove_segments(self.path, self._segments)
            create = partial(create_views, segments=self._segments, series=self.path, expected=self._expected)
        begun = partial(begin, layout=layout, first=first, ahead=self._expected > 0, create=create)
        change(self._descriptor, begun, synced=False)
        settle(self.path)
        self._look.settle(first, layout)
        self._run(Growth())

    def _run(self, growth: Growth) -> None:
        if (layout := self._look.layout) is not None:
            self._jump = _LONGEST_JUMP // layout.chunks_a_frame
        self._running = RunningFile(
            self.path,
            self._descriptor,
            layout,
            self._expected,
            rows=self.rows,
            growth=growth,
            segments=self._segments,
        )


def _rows_expected(start: SeriesStart) -> int:
    """How many rows the series, or the share of it that comes here, is known to have; else 0."""
    if isinstance(series := start.series, UnsetType) or isinstance(frames := series.frames_expected, UnsetType):
        return 0
    return frames
