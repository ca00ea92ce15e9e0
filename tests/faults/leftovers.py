"""What is found in the folder of a recorder that was killed: as it is, after salvage, after it went on."""

from pathlib import Path

import h5py
import numpy as np
from short_series import DATA, NUMBERS, ShortSeries, image
from stins_recorder.storage import repair

__all__ = ["as_it_is", "complete", "salvaged"]


def as_it_is(series: ShortSeries, root: Path, acked: int) -> str:
    """What is wrong with the acked frames for a reader beside the dead writer; "" if nothing is."""
    if not acked:
        return ""
    with h5py.File(root / series.filename, "r", libver="latest", swmr=True, locking=False) as file:
        return _compare(series, file, acked)


def salvaged(series: ShortSeries, root: Path, acked: int) -> str:
    """The same for any reader, after the file was salvaged."""
    path = root / series.filename
    if not path.exists():
        return "" if not acked else "there is no file"
    if acked:
        repair(path)
        with h5py.File(path, "r", locking=False) as file:
            return _compare(series, file, acked)
    return ""


def complete(series: ShortSeries, root: Path) -> str:
    """What is wrong with the file of a series that was gone on with until its end."""
    with h5py.File(root / series.filename, "r", locking=False) as file:
        outcome = file["entry/series/outcome"].asstr()[()]
        if outcome != "complete" or "end_time" not in file["entry"]:
            return f"the series is {outcome}"
        if len(file[DATA]) != series.frames:
            return f"the file has {len(file[DATA])} frames, expected {series.frames}"
        return _compare(series, file, series.frames)


def _compare(series: ShortSeries, file: h5py.File, rows: int) -> str:
    frames, numbers = file[DATA], file[NUMBERS]
    if len(frames) < rows or len(numbers) < rows:
        return f"{len(frames)} frames and {len(numbers)} numbers are there, {rows} were acked"
    if not np.array_equal(numbers[:rows], np.arange(rows)):
        return f"wrong numbers: {numbers[:rows]}"
    wrong = [n for n, frame in enumerate(frames[:rows]) if not np.array_equal(frame, image(n, series.side))]
    return f"{len(wrong)} of {rows} acked frames are not what was sent, from {wrong[0]} on" if wrong else ""
