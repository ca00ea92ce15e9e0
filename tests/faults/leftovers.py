"""What is found in the folder of a recorder that was killed: as it is, after salvage, after it went on."""

import shutil
from pathlib import Path

import h5py
import numpy as np
from short_series import DATA, NUMBERS, ShortSeries, image
from stins_recorder.recording.journal import FOLDER
from stins_recorder.salvage.process import Order
from stins_recorder.salvage.work import salvage

__all__ = ["as_it_is", "closed_segments", "complete", "salvaged"]


def as_it_is(series: ShortSeries, root: Path, acked: int) -> str:
    """What is wrong with the acked frames for a reader beside the dead writer; "" if nothing is."""
    if not acked:
        return ""
    with h5py.File(root / series.filename, "r", libver="latest", swmr=True, locking=False) as file:
        return _compare(series, file, acked)


def salvaged(series: ShortSeries, root: Path, acked: int, *, journal: bool = True, torn: bool = False) -> str:
    """The same for any reader, after the file was salvaged, with the help of its journal or without.

    `torn`: half of one write is there, and if it was to take a frame again, half of that.
    """
    path = root / series.filename
    if not journal:
        shutil.rmtree(root / FOLDER, ignore_errors=True)
    order = Order(str(path), "its recorder was killed", given_up=False)
    done = salvage(order)
    if not acked:
        return ""
    if done.found not in ("salvaged", "whole"):
        return f"{done.found}: {done.text}"
    with h5py.File(path, "r", locking=False) as file:
        wrong = _compare(series, file, acked, torn=torn) or _more(series, file, acked)
        if wrong and not journal:
            # What was flushed after the last ack is there too; a retake in it took rows away.
            later = range(acked + 1, min(acked + series.flush_every, len(series.takes)) + 1)
            wrong = wrong if all(_compare(series, file, count) for count in later) else ""
        if wrong or "end_time" not in file["entry"]:
            return wrong or "salvaged without an end_time"
    again = salvage(order)
    return "" if again.found == "whole" else f"salvaged twice, the second time it is {again.found}: {again.text}"


def _more(series: ShortSeries, file: h5py.File, acked: int) -> str:
    """Rows behind the acked ones may be there; then they hold a take of theirs, or are listed as missing."""
    missing = {n for first, last in file["entry/series/missing_frames"] for n in range(first, last + 1)}
    takes = series.takes
    for row in set(range(len(file[DATA]))) - series.rows_after(acked).keys():
        mine = [number for number, take in enumerate(takes) if take.row == row]
        there = any(np.array_equal(file[DATA][row], image(number, series.side)) for number in mine)
        if mine and not there and takes[mine[0]].frame not in missing:
            return f"row {row}, not acked, is neither right nor listed as missing"
    return ""


def closed_segments(series: ShortSeries, root: Path) -> str:
    """What is wrong with the segments behind which another one was begun; they were closed and forced to the disk."""
    per_file = series.frames_per_file
    if per_file is None:
        return ""
    files = sorted(root.glob(f"{Path(series.filename).stem}_data_*.h5"))
    for index, path in enumerate(files[:-1]):
        with h5py.File(path, "r", locking=False) as file:
            frames = _frames_in(file)
            if len(frames) != per_file:
                return f"{path.name}: {len(frames)} frames, expected {per_file}"
            for row, pixels in enumerate(frames, index * per_file):
                takes = [number for number, take in enumerate(series.takes) if take.row == row]
                # A row that was dropped has none.
                if takes and not any(np.array_equal(pixels, image(take, series.side)) for take in takes):
                    return f"{path.name}: row {row} is not what was sent"
    return ""


def _frames_in(file: h5py.File) -> h5py.Dataset:
    """The one data set of images in a data file, wherever it stands."""
    found: list[h5py.Dataset] = []
    file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) and item.ndim == 3 else None)
    (frames,) = found
    return frames


def complete(series: ShortSeries, root: Path) -> str:
    """What is wrong with the file of a series that was gone on with until its end."""
    with h5py.File(root / series.filename, "r", locking=False) as file:
        outcome = file["entry/series/outcome"].asstr()[()]
        if outcome != series.outcome or "end_time" not in file["entry"]:
            return f"the series is {outcome}"
        if len(file[DATA]) != series.rows:
            return f"the file has {len(file[DATA])} rows, expected {series.rows}"
        if (missing := file["entry/series/missing_frames"][()].tolist()) != series.missing:
            return f"missing are {missing}, expected {series.missing}"
        return _compare(series, file, len(series.takes))


def _compare(series: ShortSeries, file: h5py.File, acked: int, *, torn: bool = False) -> str:
    """What is wrong with the rows of so many takes; `torn`: one may have a part of the take that replaces it."""
    frames, numbers, expected = file[DATA], file[NUMBERS], series.rows_after(acked)
    rows = max(expected, default=-1) + 1
    if len(frames) < rows or len(numbers) < rows:
        return f"{len(frames)} frames and {len(numbers)} numbers are there, {rows} rows were acked"
    for row, (frame, takes) in expected.items():
        if numbers[row] != frame:
            return f"row {row} is numbered {numbers[row]}, expected {frame}"
        images = [image(take, series.side) for take in takes]
        if any(np.array_equal(frames[row], one) for one in images):
            continue
        if torn and len(images) > 1 and np.any([frames[row] == one for one in images], axis=0).all():
            torn = False
            continue
        return f"row {row} of {rows} is not what was sent and acked"
    return ""
