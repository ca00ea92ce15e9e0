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
    """What a joined file has to know of a part; `numbers` are the frame numbers of its rows.

    `missing` are the frames of its share that it knows to be missing, `passed` how many of them it has an account of.
    """

    path: Path
    share: Share
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
        raise UnreadablePartError(f"{path}: {error}; stins salvage makes it readable") from error
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
    rows, discarded = len(sequence), int(found.get("discarded", 0))
    numbers = _mended(sequence, share) if discarded else _frames(share, 0, rows)
    return PartFile(
        path=path,
        share=share,
        numbers=numbers,
        missing=_expanded(found.pop("missing_frames", ()), share),
        passed=rows + discarded,
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


def _mended(sequence: Numbers, share: Share) -> Numbers:
    """The numbers of the rows, rising: an empty row in a wide gap has none (docs/reference/file.md).

    It takes the number behind the row's before; which of the frames missing there it is does not matter.
    """
    places = np.arange(len(sequence))
    discarded_before = np.maximum.accumulate((sequence - share.index) // share.count - places)
    return share.index + share.count * (discarded_before + places)
