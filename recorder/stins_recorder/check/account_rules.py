"""The account of the frames: what came, what was written, what is missing, and whether these numbers fit the rows."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from stins.control import SeriesState
from stins.findings import Fault, Severity

from ..nexus import DETECTOR, SERIES
from .file_rule import FileCheck, file_rule
from .recorded_file import Account, RecordedFile

__all__ = ["ACCOUNT_CHECKS"]

_ERROR, _WARNING = Severity.ERROR, Severity.WARNING
_OUTCOMES = [state.value for state in SeriesState if state is not SeriesState.OPEN]


@file_rule("frames.account-present", _ERROR, "a finished file holds the whole account of its series", ended=True)
def _present(file: RecordedFile) -> Iterator[Fault]:
    if file.account is None:
        names = sorted(file.h5[SERIES]) if SERIES in file.h5 else []
        expected = "outcome, received, written, discarded, retaken, missing (numbers) and missing_frames (n x 2)"
        yield Fault(SERIES, ", ".join(names) or "nothing", expected)


@file_rule("frames.account", _ERROR, "received = written + discarded + retaken", ended=True)
def _received(file: RecordedFile) -> Iterator[Fault]:
    account = file.account
    if account and account.received != account.written + account.discarded + account.retaken:
        yield Fault(f"{SERIES}/received", str(account.received), _sum(account, "written", "discarded", "retaken"))


@file_rule("frames.expected", _ERROR, "frames_expected = written + discarded + missing, where it is known", ended=True)
def _expected(file: RecordedFile) -> Iterator[Fault]:
    account, announced = file.account, file.number(f"{SERIES}/frames_expected")
    if account is None or announced is None:
        return
    if account.written + account.discarded + account.missing < announced:
        sums = _sum(account, "written", "discarded", "missing")
        yield Fault(f"{SERIES}/frames_expected", str(announced), sums)


@file_rule("frames.surplus", _WARNING, "no more frames came than the series announced", ended=True)
def _surplus(file: RecordedFile) -> Iterator[Fault]:
    account, announced = file.account, file.number(f"{SERIES}/frames_expected")
    if account and announced is not None:
        total = account.written + account.discarded + account.missing
        if total > announced:
            yield Fault(f"{SERIES}/frames_expected", f"{total} frames", f"{announced} as announced")


@file_rule("frames.missing", _ERROR, "missing_frames are ascending ranges, as many frames as missing says", ended=True)
def _missing(file: RecordedFile) -> Iterator[Fault]:
    if not (account := file.account) or file.missing is None:
        return
    where, spans = f"{SERIES}/missing_frames", file.missing
    backward = np.flatnonzero(spans[:, 1] < spans[:, 0])
    overlapping = np.flatnonzero(spans[1:, 0] <= spans[:-1, 1]) + 1
    for index in np.union1d(backward, overlapping):
        yield Fault(where, f"{spans[index].tolist()} at {index}", "[first, last] with first <= last, after the others")
    count = int((spans[:, 1] - spans[:, 0] + 1).sum())
    if count != account.missing:
        yield Fault(where, f"{count} frames", f"{account.missing} as missing says")


@file_rule("frames.outcome", _ERROR, "outcome and reason fit the account: complete without a loss", ended=True)
def _outcome(file: RecordedFile) -> Iterator[Fault]:
    if not (account := file.account):
        return
    if account.outcome not in _OUTCOMES:
        yield Fault(f"{SERIES}/outcome", repr(account.outcome), f"one of {', '.join(_OUTCOMES)}")
    elif account.outcome == SeriesState.COMPLETE.value and (account.missing or account.reason):
        got = f"complete with {account.missing} missing frames and the reason {account.reason!r}"
        yield Fault(f"{SERIES}/outcome", got, "incomplete, or no loss and no reason")
    elif account.outcome != SeriesState.COMPLETE.value and not account.reason:
        yield Fault(f"{SERIES}/reason", "nothing", f"why the series is {account.outcome}")


@file_rule("frames.incomplete", _WARNING, "the series is complete", ended=True)
def _complete(file: RecordedFile) -> Iterator[Fault]:
    account = file.account
    if account and account.outcome in _OUTCOMES and account.outcome != SeriesState.COMPLETE.value:
        yield Fault(f"{SERIES}/outcome", f"{account.outcome}: {account.reason}", "complete")


@file_rule("frames.order", _ERROR, "sequence_number is strictly increasing; only rows of missing frames have none")
def _order(file: RecordedFile) -> Iterator[Fault]:
    where, numbers = f"{DETECTOR}/sequence_number", file.numbers
    rows = np.flatnonzero((numbers != 0) | (np.arange(len(numbers)) == 0))
    for index in np.flatnonzero(np.diff(numbers[rows]) <= 0):
        row, before = rows[index + 1], rows[index]
        yield Fault(f"{where} row {row}", str(numbers[row]), f"more than {numbers[before]}, as in row {before}")
    bare = len(numbers) - len(rows)
    if (account := file.account) and file.ended and bare > account.missing + account.discarded:
        yield Fault(where, f"{bare} rows without a number", f"at most {account.missing + account.discarded}")


@file_rule("frames.share", _ERROR, "a part of a shared series has frames of its share only")
def _share(file: RecordedFile) -> Iterator[Fault]:
    numbers, share = file.frame_numbers, file.share
    # A row without a frame has 0, or -1 if it is the first (2^64 - 1 in the file).
    for row in np.flatnonzero((numbers % share.count != share.index) & (numbers > 0)):
        where = f"{DETECTOR}/sequence_number row {row}"
        yield Fault(where, str(numbers[row]), f"a frame of share {share.index} of {share.count}")


@file_rule("frames.rows", _ERROR, "there is a row for each frame up to the last one written, and no other", ended=True)
def _rows(file: RecordedFile) -> Iterator[Fault]:
    account, rows = file.account, len(file.numbers)
    if not account or file.missing is None:
        return
    last = int(file.numbers.max(initial=-1))
    before_last = int((np.minimum(file.missing[:, 1], last) - file.missing[:, 0] + 1).clip(0).sum())
    # A frame that was to be discarded keeps its empty row when it came late.
    low, high = account.written + before_last, account.written + before_last + account.discarded
    if not low <= rows <= high:
        expected = f"{low}" if low == high else f"{low} to {high}"
        got = f"{account.written} written and {before_last} missing before frame {file.share.frame(last)}"
        yield Fault(f"{DETECTOR}/sequence_number", f"{rows} rows", f"{expected} for {got}")


@file_rule("frames.columns", _ERROR, "everything that comes with each frame has the same number of rows", ended=True)
def _columns(file: RecordedFile) -> Iterator[Fault]:
    rows = len(file.numbers)
    for dataset in [*file.frames, *file.columns]:
        if dataset.ndim == 0 or dataset.shape[0] != rows:
            yield Fault(dataset.name, f"shape {list(dataset.shape)}", f"{rows} rows, as many as sequence_number has")


def _sum(account: Account, *keys: str) -> str:
    values = [getattr(account, key) for key in keys]
    return f"{sum(values)} ({' + '.join(f'{value} {key}' for key, value in zip(keys, values, strict=True))})"


ACCOUNT_CHECKS: Final[tuple[FileCheck, ...]] = (
    _present, _received, _expected, _surplus, _missing, _outcome, _complete, _order, _share, _rows, _columns,
)  # fmt: skip
