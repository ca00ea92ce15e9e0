"""Carries out the receiver machine's instructions on files, and keeps the account that is published."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import UNSET

from stins import (
    DiscardFrame,
    EndSeries,
    OpenSeries,
    Outcome,
    Report,
    SeriesReceiver,
    SeriesResult,
    Spans,
    StoreFrame,
)
from stins.control import RecorderState, SeriesState, SeriesStatus
from stins.receiver import Instruction

from .account import closing, counted, line, placed
from .errors import RecorderError, StorageError, storage_error
from .paths import resolve
from .series_file import SeriesFile

__all__ = ["Recording"]

log = logging.getLogger(__name__)

_LAST_FRAME = 2**53


class Recording:
    """The state of the recorder: which series is open, in which file, how far it has got.

    A frame that came and could not be written (it looks wrong, the disk failed, a flush failed) is missing, not
    received: received = written + discarded + retaken holds for every series with a file.
    """

    def __init__(self, roots: Sequence[Path], machine: SeriesReceiver, reserve_bytes: int) -> None:
        self._roots = roots
        self._machine = machine
        self._reserve_bytes = reserve_bytes
        self._file: SeriesFile | None = None
        self._begin_account()
        self.state = RecorderState.IDLE
        self.reason = ""
        self.prepared: str | None = None
        self.series: SeriesStatus | None = None
        self.dirty = False

    def _begin_account(self, *, wanted: bool = False) -> None:
        self._wanted = wanted  # whether the series is to have a file
        self._failure = ""  # why it has none any more
        self._unflushed: list[tuple[int, int]] = []
        self._unwritten = Spans()
        self._refused = 0
        self._since_check = 0
        self.notes: tuple[str, ...] = ()
        self.last_stored: StoreFrame | None = None

    # -- control --------------------------------------------------------------------------------

    def prepare(self, series_id: str, filename: str | None, frames: int | None, frame_bytes: int | None) -> None:
        """Checks path and room for a series to come; leaves FAULT.

        Raises:
            RecorderError: busy, the path is refused, or there is no room.
        """
        if self.state is RecorderState.RECORDING:
            raise RecorderError("a series is being recorded; end it first (disarm the acquirer, or /stop)")
        if filename:
            path = resolve(self._roots, filename)
            self._check_room(path, (frames or 0) * (frame_bytes or 0))
        self.state, self.reason, self.prepared = RecorderState.READY, "", series_id

    def reset(self) -> None:
        """Leaves FAULT and READY."""
        if self.state is not RecorderState.RECORDING:
            self.state, self.reason, self.prepared = RecorderState.IDLE, "", None

    # -- instructions ---------------------------------------------------------------------------

    def execute(self, instruction: Instruction) -> None:
        """Does what the machine says; a failure becomes a state, never an exception."""
        kind = type(instruction)
        if kind is StoreFrame:
            self._store(instruction)  # type: ignore[arg-type]  # known by `kind`, the fastest test there is
        elif isinstance(instruction, OpenSeries):
            self._open(instruction)
        elif isinstance(instruction, EndSeries):
            self._end(instruction.result)
        elif isinstance(instruction, DiscardFrame):
            self.dirty = True
            if instruction.rewound:
                self._unwritten.remove(instruction.header.frame_number, _LAST_FRAME)
        elif isinstance(instruction, Report):
            log.warning("%s: %s", instruction.kind, instruction.text)
            self._note(instruction.text)

    def _open(self, instruction: OpenSeries) -> None:
        start = instruction.start
        self._begin_account(wanted=start.recorded)
        self.state, self.reason, self.prepared = RecorderState.RECORDING, "", None
        series_id = None if start.series is UNSET else start.series.id or None
        self.series = SeriesStatus(series_id=series_id, state=SeriesState.OPEN)
        if start.series is not UNSET and start.series.filename and self._wanted:
            try:
                path = resolve(self._roots, start.series.filename)
                self._check_room(path, 0)
                self._file = SeriesFile(path, start, instruction.payload)
            except RecorderError as error:
                self._fail(error)
        self._refresh()
        log.info("series %s: %s", series_id, self.series.file or "no file")

    def _store(self, instruction: StoreFrame) -> None:
        self.dirty = True
        header, file = instruction.header, self._file
        if instruction.rewound:
            self._unwritten.remove(header.frame_number, _LAST_FRAME)
        if file is None:
            if self._wanted:
                self._skip(instruction)
            else:
                self.last_stored = instruction
            return
        try:
            file.write(instruction)
        except StorageError as error:
            self._skip(instruction)
            self._fail(error)
        except RecorderError as error:
            self._refuse(instruction, str(error))
        else:
            self._unflushed.append((header.frame_number, instruction.count))
            self.last_stored = instruction
            self._watch_room(file, sum(map(len, instruction.packet.payload)))

    def _skip(self, instruction: StoreFrame) -> None:
        first = instruction.header.frame_number
        self._unwritten.add(first, first + instruction.count - 1)

    def _refuse(self, instruction: StoreFrame, why: str) -> None:
        """A frame that cannot stand in this file; the others can."""
        self._skip(instruction)
        self._refused += 1
        if self._refused == 1:
            log.warning("refused: %s", why)
            self._note(f"refused {why}")

    def _note(self, text: str) -> None:
        self.notes = (*self.notes[-9:], text)

    def flush(self) -> None:
        """Flushes what was written and brings the account up to date."""
        self.dirty = False
        self._flush_file()
        self._refresh()

    def _flush_file(self, result: SeriesResult | None = None) -> None:
        if self._file is None:
            return
        try:
            self._file.flush()
            self._unflushed.clear()
        except StorageError as error:
            self._fail(error, result)

    # -- the end --------------------------------------------------------------------------------

    def _end(self, result: SeriesResult) -> None:
        self._flush_file(result)
        self._refresh(result)
        self._settle(*self._outcome(result))
        file, self._file = self._file, None
        if file is not None:
            self._close(file, result)
        if self.state is RecorderState.RECORDING:
            self.state = RecorderState.IDLE
        self.dirty = False
        log.info("%s", line(self.series) if self.series else "a series ended")

    def _outcome(self, result: SeriesResult) -> tuple[SeriesState, tuple[str, ...]]:
        if self._failure:
            return SeriesState.FAILED, (self._failure, *result.reasons)
        if self._unwritten.count:
            refused = f"{self._unwritten.count} frames were refused"
            return SeriesState.INCOMPLETE, (*result.reasons, refused, *self.notes[-3:])
        complete = result.outcome is Outcome.COMPLETE
        return SeriesState.COMPLETE if complete else SeriesState.INCOMPLETE, result.reasons

    def _close(self, file: SeriesFile, result: SeriesResult) -> bool:
        assert self.series is not None  # noqa: S101  # set when the series was opened
        try:
            file.close(msgspec.structs.replace(result, missing=self._missing(result)), closing(self.series))
        except StorageError as error:
            self._fault(error)
            self._settle(SeriesState.FAILED, (self._failure, *result.reasons))
            return False
        return True

    # -- failures -------------------------------------------------------------------------------

    def _fail(self, error: RecorderError, result: SeriesResult | None = None) -> None:
        """Storage failed: what was flushed is kept, the file is closed now, the rest of the series is counted."""
        self._fault(error)
        file, self._file = self._file, None
        result = result or self._machine.account()
        if file is not None and result is not None:
            self._save(file, result)
        self._settle(SeriesState.FAILED, (self._failure,))

    def _save(self, file: SeriesFile, result: SeriesResult) -> None:
        """One last flush: if it fails, HDF5 is not asked for anything more, and what was not flushed is not written."""
        try:
            file.flush()
        except StorageError as error:
            log.warning("%s", error)
            for first, count in self._unflushed:
                self._unwritten.add(first, first + count - 1)
            file.abandon()
            self._refresh(result)
        else:
            self._refresh(result, file)
            self._settle(SeriesState.FAILED, (self._failure,))
            self._close(file, result)
        self._unflushed.clear()

    def _fault(self, error: RecorderError) -> None:
        log.error("%s", error)
        self._failure = self._failure or str(error)
        self.state, self.reason = RecorderState.FAULT, self._failure

    def _watch_room(self, file: SeriesFile, written: int) -> None:
        self._since_check += written
        if self._since_check > self._reserve_bytes // 4:
            try:
                self._check_room(file.path, 0)
            except StorageError as error:
                self._fail(error)

    def _check_room(self, path: Path, needed: int) -> None:
        self._since_check = 0
        free = self.free_bytes(path.parent)
        if free < needed + self._reserve_bytes:
            raise StorageError(
                f"{path}: {free} bytes are free, expected {needed} and a reserve of {self._reserve_bytes}; "
                "make room, or record below another root"
            )

    def free_bytes(self, folder: Path | None = None) -> int:
        """Room on the file system of a folder (default: the first root)."""
        folder = folder or self._roots[0]
        try:
            while not folder.exists() and folder != folder.parent:
                folder = folder.parent
            stat = os.statvfs(folder)
        except OSError as error:
            raise storage_error("statvfs", folder, error) from error
        return stat.f_bavail * stat.f_frsize

    # -- the account ----------------------------------------------------------------------------

    def _missing(self, result: SeriesResult) -> tuple[tuple[int, int], ...]:
        """The frames that did not come, and those that could not be written."""
        if not self._unwritten.count:
            return result.missing
        missing = Spans(result.missing)
        for first, last in self._unwritten:
            missing.add(first, last)
        return missing.as_tuple()

    def _refresh(self, result: SeriesResult | None = None, file: SeriesFile | None = None) -> None:
        """The published account; it is called when everything stored is flushed, or known to be unwritten."""
        result = result or self._machine.account()
        file = file or self._file
        if self.series is None or result is None:
            return
        self.series = counted(self.series, result, self._missing(result), refused=self._refused, recorded=self._wanted)
        if file is not None:
            self.series = placed(self.series, file, result.rows)

    def _settle(self, state: SeriesState, reasons: Sequence[str]) -> None:
        assert self.series is not None  # noqa: S101  # set when the series was opened
        self.series = msgspec.structs.replace(self.series, state=state, reason="; ".join(reasons))
