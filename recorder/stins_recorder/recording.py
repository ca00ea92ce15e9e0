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

from .errors import RecorderError, StorageError, storage_error
from .paths import resolve
from .series_file import DATASET, SeriesFile

__all__ = ["Recording"]

log = logging.getLogger(__name__)

#: How many ranges of missing frames a status carries; the file has all of them.
_LISTED_RANGES = 100
_NOTHING = SeriesResult(
    outcome=Outcome.INCOMPLETE, reasons=(), received=0, stored=0, discarded=0, retaken=0, rows=0, missing=(),
    duplicates=0, refused=0, moved_keys=(), frames_expected=None, end=None,
)  # fmt: skip


class Recording:
    """The state of the recorder: which series is open, in which file, how far it has got."""

    def __init__(self, roots: Sequence[Path], machine: SeriesReceiver, reserve_bytes: int) -> None:
        self._roots = roots
        self._machine = machine
        self._reserve_bytes = reserve_bytes
        self._file: SeriesFile | None = None
        self._since_check = 0
        self._unwritten = Spans()
        self.state = RecorderState.IDLE
        self.reason = ""
        self.prepared: str | None = None
        self.series: SeriesStatus | None = None
        self.notes: tuple[str, ...] = ()
        self.last_stored: StoreFrame | None = None
        self.dirty = False

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
        elif isinstance(instruction, Report):
            log.warning("%s: %s", instruction.kind, instruction.text)
            self.notes = (*self.notes[-9:], instruction.text)

    def _open(self, instruction: OpenSeries) -> None:
        start = instruction.start
        info = start.series
        self._file, self._unwritten, self.notes, self.last_stored = None, Spans(), (), None
        self.state, self.reason, self.prepared = RecorderState.RECORDING, "", None
        self.series = SeriesStatus(series_id=(info.id or None) if info is not UNSET else None, state=SeriesState.OPEN)
        if not start.recorded or info is UNSET or not info.filename:
            return
        try:
            path = resolve(self._roots, info.filename)
            self._check_room(path, 0)
            self._file = SeriesFile(path, start, instruction.payload)
        except RecorderError as error:
            self._fail(error)
        self._refresh()
        log.info("series %s: %s", self.series.series_id, self.series.file or "no file")

    def _store(self, instruction: StoreFrame) -> None:
        self.dirty = True
        self.last_stored = instruction
        if self._file is None:
            if self.state is RecorderState.FAULT:
                self._skip(instruction)
            return
        try:
            packet = instruction.packet
            self._file.write(instruction.header, packet.payload, instruction.row, instruction.count)
            self._since_check += sum(map(len, packet.payload))
            if self._since_check > self._reserve_bytes // 4:
                self._check_room(self._file.path, 0)
        except StorageError as error:
            self._fail(error)
            self._skip(instruction)
        except RecorderError as error:
            self._skip(instruction)
            self.notes = (*self.notes[-9:], str(error))

    def _skip(self, instruction: StoreFrame) -> None:
        first = instruction.header.frame_number
        self._unwritten.add(first, first + instruction.count - 1)

    def flush(self) -> None:
        """Flushes what was written and brings the account up to date."""
        self.dirty = False
        if self._file is not None:
            try:
                self._file.flush()
            except StorageError as error:
                self._fail(error)
        self._refresh()

    def _end(self, result: SeriesResult) -> None:
        self._refresh(result)
        state = SeriesState.COMPLETE if result.outcome is Outcome.COMPLETE else SeriesState.INCOMPLETE
        reasons = result.reasons
        if self._unwritten.count:
            state, reasons = SeriesState.INCOMPLETE, (*reasons, *self.notes[-3:])
        if self.state is RecorderState.FAULT:
            state, reasons = SeriesState.FAILED, (self.reason, *reasons)
        self._settle(state, "; ".join(reasons))
        if self._file is not None:
            self._close(self._file, result)
        if self.state is not RecorderState.FAULT:
            self.state = RecorderState.IDLE
        self.dirty = False
        log.info("%s", _line(self.series) if self.series else "a series ended")

    def _close(self, file: SeriesFile, result: SeriesResult) -> None:
        assert self.series is not None  # noqa: S101
        self._file = None
        missing = Spans(result.missing)
        for first, last in self._unwritten:
            missing.add(first, last)
        account = _account(self.series)
        try:
            file.close(msgspec.structs.replace(result, missing=missing.as_tuple()), account)
        except StorageError as error:
            self._fault(error)
            self._settle(SeriesState.FAILED, str(error))

    # -- failures -------------------------------------------------------------------------------

    def _fail(self, error: RecorderError) -> None:
        """Storage failed: what was flushed is kept, the file is closed now, the rest of the series is counted."""
        self._fault(error)
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.flush()
            self._refresh(file=file)
        except StorageError as second:
            log.warning("%s", second)
        result = self._machine.account() or _NOTHING
        assert self.series is not None  # noqa: S101
        self._settle(SeriesState.FAILED, self.reason)
        try:
            file.close(result, _account(self.series))
        except StorageError as second:
            log.warning("%s", second)

    def _fault(self, error: RecorderError) -> None:
        log.error("%s", error)
        self.state, self.reason = RecorderState.FAULT, str(error)

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
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        try:
            stat = os.statvfs(folder)
        except OSError as error:
            raise storage_error("statvfs", folder, error) from error
        return stat.f_bavail * stat.f_frsize

    # -- the account ----------------------------------------------------------------------------

    def _refresh(self, result: SeriesResult | None = None, file: SeriesFile | None = None) -> None:
        """The published account, after a flush: everything stored so far is flushed."""
        result = result or self._machine.account()
        file = file or self._file
        if self.series is None or result is None:
            return
        failed = self.state is RecorderState.FAULT and file is None
        written = self.series.written if failed else result.stored - self._unwritten.count
        missing = Spans(result.missing)
        for first, last in self._unwritten:
            missing.add(first, last)
        self.series = msgspec.structs.replace(
            self.series,
            frames_expected=result.frames_expected,
            received=result.received,
            written=written if file or failed else 0,
            rows=self.series.rows if failed else result.rows,
            discarded=result.discarded,
            retaken=result.retaken,
            missing=missing.count,
            missing_frames=missing.as_tuple()[:_LISTED_RANGES],
            duplicates=result.duplicates,
            refused=result.refused,
            **(_place(file) if file else {}),
        )

    def _settle(self, state: SeriesState, reason: str) -> None:
        assert self.series is not None  # noqa: S101
        self.series = msgspec.structs.replace(self.series, state=state, reason=reason)


def _line(series: SeriesStatus) -> str:
    """One line a series for the log."""
    counts = f"{series.received} received, {series.written} written, {series.discarded} discarded"
    return (
        f"series {series.series_id} {series.state.value}: {counts}, {series.missing} missing; {series.reason or 'ok'}"
    )


def _place(file: SeriesFile) -> dict[str, object]:
    layout = file.frames_layout
    place: dict[str, object] = {"file": str(file.path)}
    if layout is not None:
        place |= {"dataset": DATASET, "shape": layout.shape, "chunk_shape": file.chunk_shape}
        place["dtype"] = layout.dtype
    return place


def _account(series: SeriesStatus) -> dict[str, object]:
    """What the file says of itself in its end."""
    keys = ("received", "written", "discarded", "retaken", "missing", "duplicates", "refused", "reason")
    return {"outcome": series.state.value, **{key: getattr(series, key) for key in keys}}
