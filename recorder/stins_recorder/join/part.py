"""One part of a shared series, as it stands on the disk once its recorder has closed it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np

from stins import Share

from ..errors import RecorderError, storage_error
from ..nexus import DETECTOR, SERIES

__all__ = ["Numbers", "PartFile", "UnreadablePartError", "read_part"]

Numbers = np.ndarray[Any, np.dtype[np.int64]]
_SEQUENCE = f"{DETECTOR}/sequence_number"


class UnreadablePartError(RecorderError):
    """The file is not closed, or is none: its frames count as missing."""


class PartFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a joined file has to know of a part: the frames `numbers` stand in its `rows`.

    `missing` are the frames of its share that it knows to be missing, `passed` how many of them it has an account of.
    """

    path: Path
    share: Share
    rows: Numbers
    numbers: Numbers
    missing: Numbers
    passed: int
    account: Mapping[str, Any]


def read_part(path: Path, series_id: str, share: Share) -> PartFile:
    """Reads everything but the frames.

    Raises:
        FileNotFoundError: no such file.
        UnreadablePartError: its recorder has not closed it.
        RecorderError: it is no part of that series.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            return _read(path, file, series_id, share)
    except FileNotFoundError:
        raise
    except OSError as error:
        # HDF5's own words recommend h5clear, behind which no frame could be read.
        problem = "its recorder has not closed it" if "already open for write" in str(error) else str(error)
        raise UnreadablePartError(
            f"{path}: {problem}; start that recorder again, or if it will not come back, `stins salvage {path}`; then "
            "`stins join`"
        ) from error
    except (RuntimeError, KeyError, ValueError) as error:
        raise storage_error("read", path, error) from error


def _read(path: Path, file: h5py.File, series_id: str, share: Share) -> PartFile:
    series = file.get(SERIES)
    found = _plain(series) if series is not None else {}
    got = found.get("id"), found.get("share")
    if got != (series_id, msgspec.structs.asdict(share)):
        raise RecorderError(f"{path}: got series {got[0]}, share {got[1]}, expected {series_id}, {share}")
    if "end_time" not in file["/entry"]:
        raise UnreadablePartError(f"{path}: its recorder has not closed it (no end_time); stins salvage does")
    sequence = file[_SEQUENCE][()].astype(np.int64)
    missing = _expanded(found.pop("missing_frames", ()), share)
    if found.get("discarded"):
        rows, numbers = _stored(sequence, missing)
    else:
        rows, numbers = np.arange(len(sequence)), _frames(share, 0, len(sequence))
    return PartFile(
        path=path,
        share=share,
        rows=rows,
        numbers=numbers,
        missing=missing,
        passed=sum(int(found.get(key, 0)) for key in ("written", "discarded", "missing")),
        account=found,
    )


def _plain(group: h5py.Group) -> dict[str, Any]:
    """The group's values: text, numbers, arrays, and groups of these."""
    tree: dict[str, Any] = {}
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            tree[name] = _plain(item)
        else:
            value = item[()]
            tree[name] = value.decode() if isinstance(value, bytes) else value.item() if value.ndim == 0 else value
    return tree


def _frames(share: Share, first: int, stop: int) -> Numbers:
    """The frame numbers of a range of the share's own frames."""
    return share.index + share.count * np.arange(first, max(first, stop), dtype=np.int64)


def _expanded(ranges: Any, share: Share) -> Numbers:
    """Ranges of frame numbers, of which only those of the share are meant, one by one."""
    runs = share.inside((int(first), int(last)) for first, last in ranges)
    return np.concatenate([np.empty(0, np.int64), *(_frames(share, first, last + 1) for first, last in runs)])


def _stored(sequence: Numbers, missing: Numbers) -> tuple[Numbers, Numbers]:
    """The rows that hold a frame, and their numbers, where frames were discarded, which have no row.

    The number of an empty row may then be that of a discarded frame (docs/reference/file.md). But the row of a frame is
    as far down as there are frames stored and missing before it; for such an empty row more are missing than that.
    """
    rows = np.flatnonzero(~np.isin(sequence, missing))
    numbers = sequence[rows]
    stored_before = rows - np.searchsorted(missing, numbers)
    rising = _records(numbers) & _records(stored_before)
    return rows[rising], numbers[rising]


def _records(values: Numbers) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Which of them are higher than all before."""
    before = np.concatenate([[-1], np.maximum.accumulate(values)[:-1]])
    return values > before[: len(values)]
