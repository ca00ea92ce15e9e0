"""The end of a file of which no journal knows: what stands in it says how far it had got."""

import os
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  # registers the filters that stored chunks name
import msgspec
import numpy as np

from stins import Share, Spans
from stins.control import SeriesState, SeriesStatus
from stins.series import missing_words

from ..errors import NotOursError
from ..layout import DatasetLayout
from ..nexus import DETECTOR, SERIES
from ..nexus.scan_axes import angles, axis_columns
from ..recording.account import closing
from ..segments import Segments
from ..series.ending import Ending, write_ending
from ..series.frame_numbers import NO_FRAME
from ..series.segment_views import read_segments, show_ended
from ..shares import share_of
from ..storage import change, claim
from .data_files import close_data_files

__all__ = ["finish_unknown"]

_FILL_BYTES = 64 << 20


def finish_unknown(path: Path, reason: str, outcome: SeriesState) -> SeriesStatus:
    """Cuts the datasets to the rows that were flushed, and writes an account and `end_time`; all of it or nothing.

    Raises:
        NotOursError: no recorder wrote this file.
    """
    accounts: list[SeriesStatus] = []
    end = SeriesStatus(series_id=None, state=outcome, reason=reason)
    descriptor = claim(path)
    try:
        gone = _close_data_files(path)
        change(descriptor, lambda file: accounts.append(_finish(file, path, end, gone)), synced=True)
    finally:
        os.close(descriptor)
    return accounts[0]


def _close_data_files(path: Path) -> Spans:
    """The rows of the series that are in none of its data files, if it has such."""
    with h5py.File(path, "r", locking=False) as file:
        segments = read_segments(file)
        rows = int(file[SERIES]["rows"][()]) if segments else 0
    return close_data_files(path, segments, rows) if segments else Spans()


def _finish(file: h5py.File, path: Path, end: SeriesStatus, gone: Spans) -> SeriesStatus:
    if SERIES not in file or DETECTOR not in file:
        raise NotOursError(f"{path}: got no {SERIES} in it: it is no file of a recorder")
    detector, series = file[DETECTOR], file[SERIES]
    numbers, datasets = detector.get("sequence_number"), _frames(detector)
    # Everything is extended ahead of the frames; a file that never had one has no rows.
    rows = min((int(series["rows"][()]), *map(len, (numbers, *datasets)))) if numbers is not None else 0
    for dataset in [*datasets, *_columns(detector)]:
        if len(dataset) > rows:
            dataset.resize(rows, axis=0)
    empty = _empty_rows(numbers)
    _fill(datasets, empty)
    share = share_of(file)
    missing = _number(numbers, empty, share)
    unnumbered = np.isin(np.arange(rows), empty) & (np.arange(rows) > 0)
    for axis in axis_columns(file):
        axis[...] = np.where(unnumbered & (numbers[:] == 0), np.nan, angles(axis, numbers[:]))
    for row in (row for first, last in gone for row in range(first, min(last, rows - 1) + 1)):
        place = share.before(int(numbers[row]))
        missing.add(place, place)
    account, missing_frames = _account(series, rows, missing, end), share.outside(missing)
    account = msgspec.structs.replace(account, missing_frames=missing_frames)
    write_ending(file, Ending(account=closing(account), missing=missing_frames, specific={}))
    if segments := read_segments(file):
        hidden = Spans([*gone, *((int(row), int(row)) for row in empty)])
        _show(detector, segments, path, rows, hidden)
    return account


def _frames(detector: h5py.Group) -> list[Any]:
    return [d for d in detector.values() if isinstance(d, h5py.Dataset) and "part_names" in d.attrs and d.chunks]


def _show(detector: h5py.Group, segments: Segments, path: Path, rows: int, hidden: Spans) -> None:
    shown = [d for d in detector.values() if isinstance(d, h5py.Dataset) and "part_names" in d.attrs and d.is_virtual]
    layouts = [DatasetLayout(d.name.rpartition("/")[2], d.shape[1:], d.shape[1:], d.dtype.str, "none") for d in shown]
    show_ended(detector, layouts, segments, path, rows=rows, hidden=hidden)


def _columns(detector: h5py.Group) -> list[Any]:
    """Numbers of the frames: one-dimensional, and able to grow; `notes` are lines of text."""
    found = [*detector.values(), *detector.get("frame_specific", {}).values(), *axis_columns(detector.file)]
    return [
        d
        for d in found
        if isinstance(d, h5py.Dataset) and d.maxshape == (None,) and not d.name.endswith("/frame_specific/notes")
    ]


def _empty_rows(numbers: Any) -> Any:
    """Rows without a number: a row gets it with its frame."""
    if numbers is None:
        return np.empty(0, np.intp)
    rows = np.arange(len(numbers))
    return np.flatnonzero(numbers[:] == np.where(rows, 0, np.uint64(NO_FRAME)))


def _fill(datasets: list[Any], rows: Any) -> None:
    """Lets them read as missing, where that is little; nothing was ever written to them."""
    for dataset in datasets:
        if dataset.chunks and len(rows) * dataset.dtype.itemsize * np.prod(dataset.shape[1:]) <= _FILL_BYTES:
            for row in rows:
                dataset[row] = dataset.fillvalue


def _number(numbers: Any, rows: Any, share: Share) -> Spans:
    """The missing frames, from the rows around theirs, which get their number by that; counted as in the share."""
    missing = Spans()
    for row in reversed(rows[rows + 1 < len(numbers)] if len(rows) else rows):
        numbers[row] = number = max(0, int(numbers[row + 1]) - share.count)
        missing.add(share.before(number), share.before(number))
    return missing


def _account(series: h5py.Group, rows: int, missing: Spans, end: SeriesStatus) -> SeriesStatus:
    written = rows - missing.count
    expected = int(series["frames_expected"][()]) if "frames_expected" in series else None
    if expected is not None:
        missing.add(written + missing.count, expected - 1)
    reasons = [end.reason, *([missing_words(missing.count)] if missing.count else [])]
    return msgspec.structs.replace(
        end,
        reason="; ".join(reasons),
        frames_expected=expected,
        received=written,
        written=written,
        rows=rows,
        missing=missing.count,
    )
