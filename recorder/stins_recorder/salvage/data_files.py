"""The data files of a series whose writer died, closed by what stands in them."""

import os
from pathlib import Path

import h5py

from stins import Spans

from ..errors import RecorderError
from ..segments import FRAMES, Segments
from ..storage import HDF5_ERRORS, change, claim, has_mark, remove_segments, repair_open, resize_frames

__all__ = ["close_data_files"]

_UNREADABLE = (*HDF5_ERRORS, RecorderError)


def close_data_files(series: Path, segments: Segments, rows: int) -> Spans:
    """Cuts them to the first `rows` rows of the series; which of these are not there."""
    gone = Spans()
    last = segments.index(rows - 1) if rows else -1
    for index in range(last + 1):
        first, wanted = segments.first(index), segments.rows(index, rows)
        found = _close(segments.path(series, index), segments.mark, wanted)
        gone.add(first + found, first + wanted - 1)
    remove_segments(series, segments, since=last + 1)
    return gone


def _close(path: Path, mark: str, rows: int) -> int:
    """How many rows it has then, at most those wanted; 0 where nothing can be made of it."""
    try:
        descriptor = claim(path)
    except _UNREADABLE:
        return 0
    try:
        repair_open(descriptor, path)
        if not has_mark(path, mark):
            return 0
        with h5py.File(path, "r", locking=False) as file:
            lengths = [len(dataset) for dataset in file[FRAMES].values()]
        if set(lengths) != {rows}:
            rows = min(rows, *lengths)
            change(descriptor, lambda file: resize_frames(file, rows), synced=True)
    except _UNREADABLE:
        return 0
    finally:
        os.close(descriptor)
    return rows
