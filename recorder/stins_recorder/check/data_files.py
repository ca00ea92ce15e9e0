"""Where frames are stored: in the series' file itself, or in the data files beside it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import msgspec
import numpy as np

from stins.findings import Fault

from ..segments import FRAMES, MARK, Segments
from .chunks import ChunkScan, filter_of, scan_chunks
from .opening import is_open, open_unlocked

__all__ = ["UNREADABLE", "DataFile", "StoredFrames", "look_at", "shown_rows", "stored_in"]

#: Hears what is done, how many, of how many.
Progress: TypeAlias = Callable[[str, int, int], None]
#: What HDF5 raises for content that it cannot read.
UNREADABLE = (OSError, RuntimeError, ValueError, KeyError, TypeError)


class StoredFrames(msgspec.Struct, frozen=True):
    """Rows of frames that stand in one dataset of one file: its row 0 is row `first` of the series."""

    where: str
    path: Path
    dataset: str
    first: int
    chunks: tuple[int, ...]
    filter: int | None
    scan: ChunkScan


class DataFile(msgspec.Struct, frozen=True):
    """A data file as it was found: it has `length` rows, of which so many as `wanted` may be the series'.

    `faults` are those of the file as a whole; its frames can be looked at by the names under which they are shown.
    `length` is None where that cannot be known.
    """

    path: Path
    first: int
    wanted: int
    length: int | None = 0
    faults: Sequence[Fault] = ()
    stored: Mapping[str, StoredFrames] = {}


def stored_in(
    dataset: h5py.Dataset, path: Path, first: int, rows: int, progress: Progress, *, own: bool = False
) -> StoredFrames:
    """What one look at all chunks of a dataset tells; `rows` of it may count. `own`: it is in the series' file."""
    where = dataset.name if own else f"{path.name} {dataset.name}"
    scan = scan_chunks(dataset, path, where, rows, progress)
    return StoredFrames(where, path, dataset.name, first, dataset.chunks, filter_of(dataset), scan)


def look_at(empty: DataFile, names: Sequence[str], mark: str, progress: Progress, *, ended: bool) -> DataFile:
    """Looks for a data file of a series, and into it; never raises for what it holds.

    `empty` says what is sought, `names` which datasets, `mark` is the series'; `ended`: nobody writes to it any more.
    """
    path = empty.path
    progress(f"opening {path.name}", 0, 0)
    try:
        if not path.is_file():
            return empty
        faults = [Fault(path.name, "a file that is not closed", "a closed one")] if ended and is_open(path) else []
        found = msgspec.structs.replace(empty, length=None, faults=faults)
        file = open_unlocked(path)
        if file is None:  # it is being opened
            return found
        with file:
            if file.attrs.get(MARK) != mark:
                faults.append(Fault(path.name, "a file of another series, or none of a series", "a file of this one"))
                return found
            return _look_into(found, file, names, progress)
    except UNREADABLE as error:
        fault = Fault(path.name, " ".join(str(error).split()), "a data file that can be read")
        return msgspec.structs.replace(empty, length=None, faults=[fault])


def _look_into(found: DataFile, file: h5py.File, names: Sequence[str], progress: Progress) -> DataFile:
    datasets = {name: file[f"{FRAMES}/{name}"] for name in names}
    if not datasets:
        return found
    length = min(len(dataset) for dataset in datasets.values())
    rows = min(found.wanted, length)
    stored = {name: stored_in(dataset, found.path, found.first, rows, progress) for name, dataset in datasets.items()}
    return msgspec.structs.replace(found, length=length, stored=stored)


def shown_rows(dataset: h5py.Dataset, segments: Segments, series: Path, rows: int) -> "np.ndarray[Any, Any]":
    """For each row of the series: whether the dataset shows it from its row of its data file."""
    shown = np.zeros(rows, np.bool_)
    name = f"{FRAMES}/{dataset.name.rpartition('/')[2]}"
    for source in dataset.virtual_sources():
        (first, *_), (last, *_) = source.vspace.get_select_bounds()
        index, (start, *_) = segments.index(first), source.src_space.get_select_bounds()[0]
        place = segments.path(series, index).name, name, first - segments.first(index)
        if (source.file_name, source.dset_name, start) == place:
            shown[first : last + 1] = True
    return shown
