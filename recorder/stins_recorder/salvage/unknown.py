"""The end of a file of which no journal knows: what stands in it says how far it had got."""

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  # registers the filters that stored chunks name
import msgspec
import numpy as np

from stins import Spans
from stins.control import SeriesState, SeriesStatus

from ..account import closing
from ..errors import RecorderError
from ..nexus import DETECTOR, SERIES, now_iso
from ..tree import store_tree

__all__ = ["finish_unknown"]

_LIBVER = ("v110", "v110")


def finish_unknown(path: Path, reason: str) -> SeriesStatus:
    """Cuts the datasets to the rows whose numbers were flushed, and writes an account and `end_time`.

    Raises:
        RecorderError: no recorder of ours wrote this file.
    """
    with h5py.File(path, "r+", libver=_LIBVER, locking=False) as file:
        if SERIES not in file or DETECTOR not in file:
            raise RecorderError(f"{path}: got no {SERIES} in it, expected a file of a recorder; nothing was changed")
        detector, series = file[DETECTOR], file[SERIES]
        numbers, datasets = detector.get("sequence_number"), _frames(detector)
        rows = min((len(d) for d in (numbers, *datasets)), default=0) if numbers is not None else 0
        for dataset in [*datasets, *_columns(detector)]:
            if len(dataset) > rows and dataset.maxshape[0] is None:
                dataset.resize(rows, axis=0)
        missing = _missing(datasets, [] if numbers is None else numbers[:rows])
        account = _account(series, rows, missing, reason)
        for name in (*closing(account), "missing_frames"):
            series.pop(name, None)
        store_tree(series, closing(account))
        series.create_dataset("missing_frames", data=np.array(missing.as_tuple(), "<u8").reshape(-1, 2))
        file["/entry/end_time"] = now_iso()
    return account


def _frames(detector: h5py.Group) -> list[Any]:
    return [d for d in detector.values() if isinstance(d, h5py.Dataset) and "part_names" in d.attrs]


def _columns(detector: h5py.Group) -> list[Any]:
    """Numbers of the frames: one-dimensional, and able to grow; `notes` are lines of text."""
    found = [*detector.values(), *detector.get("frame_specific", {}).values()]
    return [
        d
        for d in found
        if isinstance(d, h5py.Dataset) and d.maxshape == (None,) and not d.name.endswith("/frame_specific/notes")
    ]


def _missing(datasets: list[Any], numbers: Any) -> Spans:
    """The frames of rows that nothing was ever written to."""
    missing = Spans()
    for dataset in datasets:
        written: set[int] = set()
        if not dataset.is_virtual:
            dataset.id.chunk_iter(lambda chunk, rows=written: rows.add(chunk.chunk_offset[0]))
            for row in sorted(set(range(len(numbers))) - written):
                missing.add(int(numbers[row]), int(numbers[row]))
    return missing


def _account(series: h5py.Group, rows: int, missing: Spans, reason: str) -> SeriesStatus:
    written = rows - missing.count
    expected = int(series["frames_expected"][()]) if "frames_expected" in series else None
    if expected is not None:
        missing.add(written + missing.count, expected - 1)
    reasons = [reason, *([f"{missing.count} frames are missing"] if missing.count else [])]
    account = SeriesStatus(series_id=None, state=SeriesState.INCOMPLETE, reason="; ".join(reasons))
    return msgspec.structs.replace(
        account,
        frames_expected=expected,
        received=written,
        written=written,
        rows=rows,
        missing=missing.count,
        missing_frames=missing.as_tuple(),
    )
