"""A file as the rules see it: small, typed questions, each answered without trust in the content."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np

from stins import Share
from stins.share import ALL

from ..nexus import DETECTOR, SERIES
from ..nexus.scan_axes import axis_columns
from ..segments import Segments
from .data_files import UNREADABLE, DataFile, StoredFrames, look_at, stored_in
from .opening import open_unlocked

__all__ = ["FRAMES_PER_FILE", "Account", "Node", "RecordedFile", "spans_text"]

FRAMES_PER_FILE = f"{SERIES}/frames_per_file"
_MOST_NODES = 100_000
#: 10^8 rows of frame numbers are 800 MB, and more than an hour at 24,000 frames/s.
_MOST_ROWS = 10**8
_COUNTS = ("received", "written", "discarded", "retaken", "missing")


class Node(msgspec.Struct, frozen=True):
    """One name in the tree: `object` is None where its link leads nowhere, `link` is the target of a soft link."""

    path: str
    object: Any
    link: str | None


class Account(msgspec.Struct, frozen=True):
    """What the file says of itself: numbers of frames."""

    outcome: str
    reason: str
    received: int
    written: int
    discarded: int
    retaken: int
    missing: int


class RecordedFile:
    """An open file. `ended`: it has an end_time, so its recorder has finished with it."""

    def __init__(self, h5: h5py.File, path: Path, progress: Callable[[str, int, int], None]) -> None:
        self.h5 = h5
        self.path = path
        self.progress = progress
        self.ended = "/entry/end_time" in h5

    # -- single values --------------------------------------------------------------------------

    def attribute(self, path: str, name: str) -> str | None:
        """An attribute as text; None if the object or the attribute is absent."""
        thing = self.h5.get(path)
        if thing is None or name not in thing.attrs:
            return None
        value = thing.attrs[name]
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value)

    def dataset(self, path: str) -> h5py.Dataset | None:
        """The dataset, if there is one."""
        thing = self.h5.get(path)
        return thing if isinstance(thing, h5py.Dataset) else None

    def text(self, path: str) -> str | None:
        """A scalar as text."""
        dataset = self.dataset(path)
        if dataset is None or dataset.shape != ():
            return None
        value = dataset[()]
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value)

    def number(self, path: str) -> int | None:
        """A scalar integer."""
        dataset = self.dataset(path)
        if dataset is None or dataset.shape != () or dataset.dtype.kind not in "iu":
            return None
        return int(dataset[()])

    # -- the whole ------------------------------------------------------------------------------

    @cached_property
    def nodes(self) -> list[Node]:
        """All names below the root; a group with several names is entered once."""
        found: list[Node] = []
        entered: set[int] = set()
        waiting: list[h5py.Group] = [self.h5]
        while waiting and len(found) < _MOST_NODES:
            group = waiting.pop()
            address = h5py.h5o.get_info(group.id).addr
            if address not in entered:
                entered.add(address)
                below = list(_nodes_in(group))
                found += below
                waiting += [node.object for node in below if isinstance(node.object, h5py.Group)]
        return found

    @cached_property
    def account(self) -> Account | None:
        """The account that closes the file, where it is whole."""
        numbers = {key: self.number(f"{SERIES}/{key}") for key in _COUNTS}
        outcome = self.text(f"{SERIES}/outcome")
        if outcome is None or self.missing is None or None in numbers.values():
            return None
        counts = {key: value for key, value in numbers.items() if value is not None}
        return Account(outcome=outcome, reason=self.text(f"{SERIES}/reason") or "", **counts)

    @cached_property
    def share(self) -> Share:
        """Which frames of its series the file has: all of them, or every n-th."""
        index, count = self.number(f"{SERIES}/share/index"), self.number(f"{SERIES}/share/count")
        return Share(index=index, count=count) if index is not None and count is not None and index < count else ALL

    @cached_property
    def missing(self) -> "np.ndarray[Any, Any] | None":
        """The ranges of missing frames, one [first, last] a row; counted as in its share."""
        missing = self._rows_of(f"{SERIES}/missing_frames", width=2)
        return None if missing is None else self._places(missing)

    @cached_property
    def frame_numbers(self) -> "np.ndarray[Any, Any]":
        """The frame number of each row; 0 beyond the first row stands for a row without number."""
        numbers = self._rows_of(f"{DETECTOR}/sequence_number", width=None)
        if numbers is None:
            return np.empty(0, np.int64)
        # While a series runs the columns are extended ahead of its frames.
        rows = None if self.ended else self.number(f"{SERIES}/rows")
        return numbers[:rows]

    @cached_property
    def numbers(self) -> "np.ndarray[Any, Any]":
        """The same, counted as in its share."""
        return self._places(self.frame_numbers)

    def _places(self, numbers: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        if self.share is ALL:
            return numbers
        places: np.ndarray[Any, Any] = np.maximum((numbers - self.share.index) // self.share.count, 0)
        return places

    def _rows_of(self, path: str, width: int | None) -> "np.ndarray[Any, Any] | None":
        dataset = self.dataset(path)
        fits = dataset is not None and dataset.dtype.kind in "iu" and dataset.ndim == (1 if width is None else 2)
        if dataset is None or not fits or dataset.shape[0] > _MOST_ROWS or (width and dataset.shape[1] != width):
            return None
        values: np.ndarray[Any, Any] = dataset[()].astype(np.int64)
        return values

    # -- frames ---------------------------------------------------------------------------------

    @cached_property
    def segments(self) -> Segments | None:
        """Which rows stand in which of the data files beside it, where the series has such."""
        count, mark = self.number(FRAMES_PER_FILE), self.attribute(FRAMES_PER_FILE, "mark")
        return Segments(count, mark) if count and count > 0 and mark is not None else None

    @cached_property
    def frames(self) -> list[h5py.Dataset]:
        """The datasets that show frames: in the detector, growing along the first axis or made of data files."""
        detector = self.h5.get(DETECTOR)
        names = detector if isinstance(detector, h5py.Group) else ()
        datasets = [d for name in names if (d := self.dataset(f"{DETECTOR}/{name}")) is not None and d.ndim >= 2]
        if self.segments is not None:
            return [d for d in datasets if d.is_virtual and "part_names" in d.attrs]
        return [d for d in datasets if d.chunks and d.maxshape[0] is None]

    def stored(self, dataset: h5py.Dataset) -> list[StoredFrames]:
        """Where the frames that a dataset shows are stored, and one look at all their chunks."""
        name = dataset.name.rpartition("/")[2]
        if self.segments is not None:
            return [found.stored[name] for found in self.data_files if name in found.stored]
        if name not in self._own:
            rows = len(self.numbers)
            self._own[name] = stored_in(dataset, self.path, 0, rows, self.progress, own=True)
        return [self._own[name]]

    @cached_property
    def _own(self) -> dict[str, StoredFrames]:
        return {}

    def per_row(self, dataset: h5py.Dataset) -> "np.ndarray[Any, Any]":
        """How many chunks are stored of each row."""
        counts = np.zeros(len(self.numbers), np.uint32)
        for stored in self.stored(dataset):
            counts[stored.first : stored.first + len(stored.scan.per_row)] = stored.scan.per_row
        return counts

    @contextmanager
    def opened(self, stored: StoredFrames) -> Iterator[h5py.Dataset]:
        """The dataset in which frames are stored, open for a while. Raises what HDF5 raises."""
        if stored.path == self.path:
            yield self.h5[stored.dataset]
        elif file := open_unlocked(stored.path):
            with file:
                yield file[stored.dataset]

    @cached_property
    def data_files(self) -> list[DataFile]:
        """The data files in which there is a row that counts, as they were found."""
        if (segments := self.segments) is None:
            return []
        names = [dataset.name.rpartition("/")[2] for dataset in self.frames]
        return [look_at(sought, names, segments.mark, self.progress, ended=self.ended) for sought in self.needed]

    @cached_property
    def needed(self) -> list[DataFile]:
        """The same, before anybody looked for them."""
        if (segments := self.segments) is None or not self.frames:
            return []
        indices = np.unique(np.flatnonzero(~self.declared_missing) // segments.frames_per_file)
        return [self._sought(segments, int(index)) for index in indices]

    def _sought(self, segments: Segments, index: int) -> DataFile:
        rows = segments.rows(index, len(self.numbers))
        return DataFile(segments.path(self.series_path, index), segments.first(index), rows)

    @property
    def series_path(self) -> Path:
        """The file under the name by which it knows its data files: it may have got another one since."""
        return self.path.with_name(Path(self.attribute("/", "file_name") or "").name or self.path.name)

    @cached_property
    def sources(self) -> list[tuple[h5py.Dataset, str]]:
        """The files other than data files that frames are shown from, by the names under which they are sought."""
        group = self.h5.get(DETECTOR)
        names = group if isinstance(group, h5py.Group) else ()
        virtual = [d for name in names if (d := self.dataset(f"{DETECTOR}/{name}")) is not None and d.is_virtual]
        shown = [dataset for dataset in virtual if dataset not in self.frames]
        return [(d, name) for d in shown for name in sorted({s.file_name for s in d.virtual_sources()} - {"."})]

    @property
    def columns(self) -> list[h5py.Dataset]:
        """The numbers that come with each frame."""
        group = self.h5.get(f"{DETECTOR}/frame_specific")
        names = [f"{DETECTOR}/timestamp", f"{DETECTOR}/acquisition_timestamp"]
        if isinstance(group, h5py.Group):
            names += [f"{DETECTOR}/frame_specific/{name}" for name in group if name != "notes"]
        found = [dataset for name in names if (dataset := self.dataset(name)) is not None]
        return found + axis_columns(self.h5)

    @cached_property
    def declared_missing(self) -> "np.ndarray[Any, Any]":
        """For each row: whether its frame is among the missing, or it has no number at all."""
        numbers = self.numbers
        bare: np.ndarray[Any, Any] = (numbers == 0) & (np.arange(len(numbers)) > 0)
        if self.missing is None or not len(self.missing):
            return bare
        firsts, lasts = self.missing[np.argsort(self.missing[:, 0])].T
        span = np.searchsorted(firsts, numbers, side="right") - 1
        inside: np.ndarray[Any, Any] = (span >= 0) & (numbers <= lasts[span])
        empty: np.ndarray[Any, Any] = bare | inside
        return empty


def _nodes_in(group: h5py.Group) -> Iterator[Node]:
    base = "" if group.name == "/" else group.name
    for name in group:
        try:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                continue  # what it leads to is another file
            thing = group.get(name)
        except UNREADABLE:
            link, thing = None, None
        yield Node(f"{base}/{name}", thing, getattr(link, "path", None))


def spans_text(rows: "np.ndarray[Any, Any]", most: int = 5) -> str:
    """Row numbers in ascending order as ranges: `3-7, 9`."""
    edges = np.flatnonzero(np.diff(rows) != 1)
    firsts, lasts = rows[np.r_[0, edges + 1]], rows[np.r_[edges, len(rows) - 1]]
    words = [f"{a}" if a == b else f"{a}-{b}" for a, b in zip(firsts[:most], lasts[:most], strict=True)]
    return ", ".join(words) + (", …" if len(firsts) > most else "")
