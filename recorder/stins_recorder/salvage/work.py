"""What is done with one file: as little as makes it whole, and nothing to one that is."""

import os
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path

import msgspec

from stins import SeriesResult, SeriesStart, Spans
from stins.control import SeriesState, SeriesStatus
from stins.series import SeriesAccount

from ..check.opening import is_open, open_unlocked, series_with, writers
from ..errors import NotOursError, RecorderError, no_room
from ..nexus import SERIES
from ..recording.account import closing
from ..recording.records import Closing, Point, machine_boot
from ..recording.recovery import is_ended
from ..recording.tally import Tally
from ..series.ending import ending_of, write_ending
from ..series.series_file import SeriesFile
from ..storage import bytes_gone, change, claim, glance, repair
from .evidence import Evidence, find_evidence, locked, remove
from .incomplete import data_files_cut_off, data_files_gone
from .process import Found, Order, Salvaged
from .unknown import finish_unknown

__all__ = ["salvage"]

_REBOOTED = "the machine was restarted since: the last frames may not have reached the disk"

_ENDED = (
    "its recorder could have gone on with this series, and will not any more: start the recorder first, salvage is for "
    "one that will not come back"
)
_COPY = "copy it again from where it came"
#: So many data files are named.
_MOST_NAMED = 5
_NO_ROOM = "the disk is full; no frame is lost, and none was changed: make room, and run it again"


def salvage(order: Order) -> Salvaged:
    """Makes the file whole if its recorder is dead; never touches a frame that was acked."""
    path = Path(order.path).resolve()
    try:
        return _look(path, order)
    except NotOursError as error:
        return _said(path, "not done", f"{_words(path, error)}; nothing was changed")
    except (RecorderError, OSError, RuntimeError, ValueError, KeyError) as error:
        if no_room(error):
            return _said(path, "no room", _NO_ROOM)
        return _said(path, "lost", _words(path, error))


def _words(path: Path, error: Exception) -> str:
    """What it says, without the name of the file, which stands before it."""
    return " ".join(str(error).split()).removeprefix(f"{path}: ")


def _said(path: Path, found: Found, text: str, series: SeriesStatus | None = None) -> Salvaged:
    rows, missing = (series.rows, series.missing) if series else (None, None)
    return Salvaged(path=str(path), found=found, text=text, rows=rows, missing=missing)


def _look(path: Path, order: Order) -> Salvaged:
    if path.is_dir():
        return _said(path, "not done", "it is a folder; name the files in it")
    if not path.is_file():
        return _said(path, "not done", "no such file")
    if series := _series_with(path):
        return _as_data_file(path, series)
    evidence = [each for each in find_evidence(path) if each.open]
    with ExitStack() as stack:
        for each in evidence:
            if not stack.enter_context(locked(each)):
                return _said(path, "in use", f"a recorder that lives goes on with it ({each.journal})")
        if not order.given_up and (pid := next(writers(path), None)):
            return _said(path, "in use", f"process {pid} has it open for writing")
        done = _make_whole(path, evidence, order)
        for each in evidence:
            # A recorder that is started again must not go on with a file that has its end.
            remove(each)
        if done.found == "salvaged" and not order.given_up and any(each.goes_on for each in evidence):
            return msgspec.structs.replace(done, text=f"{done.text}; {_ENDED}")
        return done


def _series_with(path: Path) -> str | None:
    with suppress(OSError, RuntimeError, ValueError, KeyError), open_unlocked(path) or nullcontext() as file:
        return None if file is None else series_with(file)
    return None


def _as_data_file(path: Path, series: str) -> Salvaged:
    """It is made whole with its series: only that knows how many of its rows count."""
    if is_open(path):
        return _said(
            path, "not done", f"a data file of {series}, which is not closed; stins salvage {series} closes it"
        )
    return _said(path, "whole", f"a data file of {series}, and closed; nothing was changed")


def _make_whole(path: Path, evidence: list[Evidence], order: Order) -> Salvaged:
    if not evidence:
        # After a power cut a file may be shorter than it says; then there is a journal.
        if gone := bytes_gone(path):
            return _said(path, "cut short", f"{gone} bytes are gone; {_COPY}; nothing was changed")
        if files := _look_without_touching(path):
            return _said(path, "cut short", f"{_listed(files)}; {_COPY}; nothing was changed")
    repaired = repair(path)  # a half-made end would look like a whole one
    if is_ended(path):
        if failed := next(filter(None, map(_failed, evidence)), None):
            return _say_failed(path, failed)
        if files := data_files_gone(path):
            return _said(path, "cut short", f"{_listed(files)}; {_COPY}")
        if not repaired:
            return _said(path, "whole", "it was closed in good order; nothing was changed")
        return _said(path, "salvaged", "it was being closed when its writer died; that was finished")
    series = _finish(path, evidence, order)
    mark = "the mark of its dead writer was taken away, " if repaired else ""
    why = series.reason or series.state.value
    return _said(path, "salvaged", f"{mark}it was cut to its {series.rows} rows and closed: {why}", series)


def _listed(gone: list[str]) -> str:
    more = len(gone) - _MOST_NAMED
    return ", ".join(gone[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _look_without_touching(path: Path) -> list[str]:
    """What to say of its data files that are cut off.

    Raises `NotOursError` for a file that no recorder wrote, of which not a byte may change: it may be in use.
    """
    with glance(path) as file:
        if file is not None and SERIES not in file:
            raise NotOursError(f"{path}: got no {SERIES} in it: it is no file of a recorder")
        return data_files_cut_off(path, file) if file is not None else []


def _failed(evidence: Evidence) -> Closing | None:
    """The end of a series whose recorder could not close its file."""
    last = evidence.last
    return last if isinstance(last, Closing) and last.position.series.state is SeriesState.FAILED else None


def _say_failed(path: Path, last: Closing) -> Salvaged:
    """The file has an end, and perhaps not all that was written: it must not say that all is well."""
    series = last.position.series
    descriptor = claim(path)
    try:
        ending = ending_of(last.result, closing(series))
        change(descriptor, lambda file: write_ending(file, ending), synced=True)
    finally:
        os.close(descriptor)
    return _said(path, "salvaged", f"its recorder could not close it, and it says so now: {series.reason}", series)


def _finish(path: Path, evidence: list[Evidence], order: Order) -> SeriesStatus:
    """By the journal, if there is one that fits; else by what stands in the file."""
    for each in evidence:
        if each.useful:
            try:
                return _finish_known(path, each, order)
            except RecorderError as error:
                # Without the journal less would be known of the series; with more room it can be used.
                if no_room(error):
                    raise
    return finish_unknown(path, order.reason, _outcome(order))


def _outcome(order: Order) -> SeriesState:
    """A recorder that lives says of a series whose file it had to leave that it failed: the file must say the same."""
    return SeriesState.FAILED if order.given_up else SeriesState.INCOMPLETE


def _finish_known(path: Path, evidence: Evidence, order: Order) -> SeriesStatus:
    start, last = msgspec.json.decode(evidence.begun.start, type=SeriesStart), evidence.last
    assert isinstance(last, Point | Closing)  # noqa: S101  # or it would not be useful
    position, reason = last.position, order.reason
    assert position.file is not None  # noqa: S101  # the same
    if evidence.begun.machine_boot != machine_boot() and not position.suspended:
        reason = f"{reason}; {_REBOOTED}"
    file = SeriesFile.resume(path, start, position.file)
    if isinstance(last, Closing):
        series, result = position.series, last.result
    else:
        tally = Tally.resume(position)
        result = _result(last, start, reason)
        tally.count(result, file)
        tally.settle(_outcome(order), result.reasons)
        assert tally.series is not None  # noqa: S101  # it was resumed with one
        series, result = tally.series, msgspec.structs.replace(result, missing=tally.missing(result))
    file.close(result, closing(series))
    return series


def _result(point: Point, start: SeriesStart, reason: str) -> SeriesResult:
    receiver = point.receiver
    assert receiver.account is not None  # noqa: S101  # a point belongs to an open series
    return SeriesAccount.resume(start, receiver.account, Spans(receiver.lost)).close(None, reason)
