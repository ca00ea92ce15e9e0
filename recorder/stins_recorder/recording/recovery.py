"""Goes on where a writer that died, or was stopped in mid-series, has left off."""

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import h5py
import msgspec

from stins import ReorderWindow, SeriesReceiver, SeriesStart
from stins.checkpoint import ReceiverCheckpoint
from stins.control import SeriesState, SeriesStatus

from ..errors import RecorderError
from ..series.series_file import FileCheckpoint, SeriesFile
from ..storage import remove_segments, repair
from ..writer_config import WriterConfig
from .account import closing
from .records import Begun, Closing, Ended, Point, Record, machine_boot, settled
from .tally import Tally

__all__ = ["Recovered", "Recovery"]

log = logging.getLogger(__name__)

#: The clocks of a file system and of its host may differ by so much.
_CLOCKS_DIFFER_S = 5.0
_REBOOTED = "the machine was restarted in mid-series: what had not been forced to the disk is lost"


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What the new writer goes on with.

    `path` is that of the series' file; `file` is None if it cannot be gone on with: `failure` says why. `suspended`: it
    was closed in good order. `settled`: how far the sender need not send again. `gone`: the last series was ended
    without it.
    """

    machine: SeriesReceiver
    settled: tuple[str | None, int | None]
    tally: Tally
    path: Path | None = None
    file: SeriesFile | None = None
    failure: str = ""
    suspended: bool = False
    gone: bool = False


class Recovery:
    """`give_up` says why the file of an open series must not be touched; empty if it may be."""

    def __init__(self, config: WriterConfig, watch: Callable[[str], None], give_up: str = "") -> None:
        self._config = config
        self._watch = watch
        self._give_up = give_up

    def recover(self, found: tuple[Record, ...], now: float) -> Recovered:
        """What the records of the journal say, made to go on; `now` is monotonic time in seconds."""
        if not found or not isinstance(begun := found[0], Begun):
            machine = SeriesReceiver(window=self._window(), idle_timeout_s=self._config.idle_timeout_s)
            return Recovered(machine=machine, settled=(None, None), tally=Tally())
        last = found[-1]
        log.info(
            "the journal's last word: %s of %s", type(last).__name__.lower(), begun.path or "a series without file"
        )
        if isinstance(last, Point):
            return self._from_point(begun, last, now)
        if isinstance(last, Closing):
            return self._from_closing(begun, last, now)
        if isinstance(last, Ended):
            recovered = self._without_series(last.receiver, now, Tally(last.series))
            return msgspec.structs.replace(recovered, gone=last.gone)
        return self._from_beginning(begun, now)

    # -- a series that is open ------------------------------------------------------------------

    def _from_point(self, begun: Begun, point: Point, now: float) -> Recovered:
        start = msgspec.json.decode(begun.start, type=SeriesStart)
        position, path = point.position, Path(begun.path) if begun.path else None
        file, failure = None, ""
        if position.file is not None and path is not None:
            try:
                self._may_touch(begun, path, suspended=position.suspended)
                if is_ended(path):
                    raise RecorderError(f"{path}: it was closed after a failure, when its writer died")
                file = self._open(path, start, position.file)
            except RecorderError as error:
                if self._config.acks and not position.series.received and not self._give_up:
                    # Killed while its datasets were made. Its start was not acked: it comes again.
                    log.warning("%s; it has no frame yet and is made anew", error)
                    if position.file.segments is not None:
                        remove_segments(path, position.file.segments)
                    return self._from_beginning(begun, now)
                failure = str(error)
        machine = self._machine(point.receiver, start, now)
        first = begun.receiver if file is not None and not position.series.received else point.receiver
        return Recovered(
            machine=machine,
            settled=settled(first),
            tally=Tally.resume(position),
            path=path,
            file=file,
            failure=failure,
            suspended=position.suspended,
        )

    def _may_touch(self, begun: Begun, path: Path, *, suspended: bool) -> None:
        """Raises RecorderError for a file that must not be gone on with; any other is one that HDF5 can open now."""
        if self._give_up:
            raise RecorderError(f"{path}: given up: {self._give_up}")
        if begun.machine_boot != machine_boot() and not suspended:
            raise RecorderError(f"{path}: {_REBOOTED}")
        repair(path)  # a half-made end would look like a whole one

    def _from_beginning(self, begun: Begun, now: float) -> Recovered:
        """The file was being created: what there is of it goes, and the series-start comes again."""
        start = msgspec.json.decode(begun.start, type=SeriesStart)
        if begun.path:
            _remove_unborn(Path(begun.path), datetime.fromisoformat(begun.time).timestamp())
        if self._config.acks:
            return self._without_series(begun.receiver, now, Tally())
        series_id = start.series.id if start.series else None
        reason = "the writer died while it created the file, and the sender does not send again"
        lost = SeriesStatus(series_id=series_id or None, state=SeriesState.FAILED, reason=reason)
        return self._without_series(begun.receiver, now, Tally(lost))

    # -- a series that has ended ----------------------------------------------------------------

    def _from_closing(self, begun: Begun, last: Closing, now: float) -> Recovered:
        """The file was being closed: that is done, or done again."""
        path, series = Path(begun.path or ""), last.position.series
        failure = ""
        try:
            self._may_touch(begun, path, suspended=False)
            if not is_ended(path):
                self._close(begun, last, path)
        except RecorderError as error:
            failure = f"close {path}: {error}"
            series = msgspec.structs.replace(series, state=SeriesState.FAILED, reason=failure)
        recovered = self._without_series(last.receiver, now, Tally(series))
        return msgspec.structs.replace(recovered, path=path, failure=failure)

    def _close(self, begun: Begun, last: Closing, path: Path) -> None:
        start = msgspec.json.decode(begun.start, type=SeriesStart)
        assert last.position.file is not None  # noqa: S101  # a record of closing is written for a file only
        file = self._open(path, start, last.position.file)
        file.close(last.result, closing(last.position.series))

    def _without_series(self, receiver: ReceiverCheckpoint, now: float, tally: Tally) -> Recovered:
        machine = self._machine(receiver, None, now)
        return Recovered(machine=machine, settled=settled(receiver), tally=tally)

    # -- its parts ------------------------------------------------------------------------------

    def _open(self, path: Path, start: SeriesStart, checkpoint: FileCheckpoint) -> SeriesFile:
        return SeriesFile.resume(path, start, checkpoint, watch=self._watch)

    def _machine(self, receiver: ReceiverCheckpoint, start: SeriesStart | None, now: float) -> SeriesReceiver:
        return SeriesReceiver.resume(
            receiver,
            start,
            now,
            window=self._window(),
            idle_timeout_s=self._config.idle_timeout_s,
            replay=bool(self._config.acks),
            replay_timeout_s=self._config.replay_timeout_s,
        )

    def _window(self) -> ReorderWindow:
        order = self._config.order
        return ReorderWindow(count=order.window, size_bytes=order.window_bytes, timeout_s=order.gap_timeout_s)


def is_ended(path: Path) -> bool:
    """Whether the file was closed with its end."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return "end_time" in file["entry"]
    except (OSError, KeyError):
        return False


def _remove_unborn(path: Path, begun_s: float) -> None:
    """Removes what is left of a file without a frame; never one that stood before, or is somebody else's."""
    with suppress(FileNotFoundError):
        stat = path.lstat()
        ours = stat.st_uid == os.geteuid() and stat.st_ctime >= begun_s - _CLOCKS_DIFFER_S
        if ours and not path.is_symlink() and not is_ended(path):
            path.unlink()
