"""The numbers that come with each frame: frame number, times, and whatever the source adds under detector_specific."""

from typing import Any

import h5py
import msgspec
import numpy as np
from msgspec import UNSET

from stins import Data, Spans
from stins.messages import frame_count

from ..nexus.places import SERIES
from ..nexus.scan_axes import ScanAxis, axis_columns, create_axes
from ..nexus.tree import safe_name
from ..shares import share_of
from ..storage.columns import Column

__all__ = ["NO_FRAME", "FrameNumbers", "cut_numbers"]

_NAN = float("nan")
#: The number of the first row while other rows have a frame and it has none: 0 is a number there.
NO_FRAME = 2**64 - 1
#: Rows of missing frames get their number in the end; wider gaps read as 0.
_NUMBERED_GAP = 4096
_FIXED = ("sequence_number", "timestamp", "acquisition_timestamp")
#: Numbers of frames that NXdetector has a field for: it shows the column, where that has a unit of time.
_SHOWN, _TIMES = ("start_time", "stop_time", "real_time"), {"s", "ms", "us", "ns"}
_KINDS: dict[str, type] = {"i": int, "f": float}
#: How the character that no HDF5 string may hold is written in an attribute.
_NUL = "\\0"


class FrameNumbers:
    """Columns for what the first frame carries; what doesn't fit a column later is kept as a line of JSON.

    Columns must exist before SWMR begins, so a number that first comes with a later frame can't have its own:
    it goes to `notes`, one JSON object a line (`{"row": …, "key": …, "value": …}`): no key is dropped.
    """

    def __init__(self, detector: h5py.Group, rows: int = 0, notes_bytes: int = 0, descriptor: int = -1) -> None:
        """Goes on behind so many rows, and so many bytes of notes, in the datasets that `create` made.

        `descriptor` is one of the file, for its columns.
        """
        fixed = {name: Column(detector[name], rows, descriptor) for name in _FIXED if name in detector}
        self.sequence = fixed["sequence_number"]
        # Whether the first row has what it is to have, its frame's number or the mark that there is none.
        self._first_is_said = rows > 0
        self._timestamp, self._acquired = fixed.get("timestamp"), fixed.get("acquisition_timestamp")
        group = detector["frame_specific"]
        self._custom: dict[str, tuple[Column, type]] = {}
        for name, dataset in group.items():
            if name != "notes":
                key = str(dataset.attrs.get("key", name)).replace(_NUL, "\0")
                self._custom[key] = Column(dataset, rows, descriptor), _KINDS[dataset.dtype.kind]
        self._axes = [ScanAxis(dataset, rows, descriptor) for dataset in axis_columns(detector.file)]
        self.sequence.followers = [axis.follow for axis in self._axes]
        self._notes = group["notes"]
        self.notes_bytes = notes_bytes
        self._new_notes = bytearray()
        self._step = share_of(detector.file).count

    @staticmethod
    def create(detector: h5py.Group, first: Data, *, ahead: bool = False) -> None:
        """The datasets for what the first frame carries; `ahead`: their room is taken when they are extended."""
        Column.create(detector, "sequence_number", "<u8", 0, ahead=ahead)
        if first.timestamp is not UNSET:
            Column.create(detector, "timestamp", "<f8", _NAN, "s", ahead=ahead)
        if first.acquisition_timestamp is not UNSET:
            acquired = Column.create(detector, "acquisition_timestamp", "<i8", 0, "ns", ahead=ahead)
            acquired.dataset.attrs["start"] = "1970-01-01T00:00:00Z"
        group = detector.require_group("frame_specific")
        group.attrs["NX_class"] = "NXcollection"
        units = detector.file.get(f"{SERIES}/frame_units", {})
        for key, value in (first.detector_specific or {}).items():
            column = _create_custom(group, key, _a_frame(value, frame_count(first))[0], ahead=ahead)
            if column is not None and (name := safe_name(key)) in units:
                column.dataset.attrs["units"] = units[name].asstr()[()]
        _show_times(detector, group)
        create_axes(detector.file, ahead=ahead)
        notes = group.create_dataset("notes", shape=(0,), maxshape=(None,), chunks=(4096,), dtype="u1")
        notes.attrs["description"] = "lines of JSON in UTF-8: what had no column of its own"

    def extend(self, rows: int) -> None:
        """Makes all columns so many rows long at least."""
        for column in self.columns():
            column.extend(rows)

    def set(self, header: Data, row: int, count: int) -> None:
        """The numbers of frames `header.frame_number` … in rows `row` …"""
        if row == 0:
            self._first_is_said = True
        for index in range(count):
            self.sequence.set(row + index, header.frame_number + index * self._step)
        if header.timestamp is not UNSET or header.acquisition_timestamp is not UNSET:
            self._set_time("timestamp", self._timestamp, header.timestamp, row)
            self._set_time("acquisition_timestamp", self._acquired, header.acquisition_timestamp, row)
        if header.detector_specific:
            for key, value in header.detector_specific.items():
                self._set_custom(key, value, row, count)

    def number_missing(self, unwritten: Spans) -> None:
        """Gives rows without a frame the number of the one that is missing, so that the axis has no jump.

        Until then they have none (0, the first row `NO_FRAME`): that tells them from the others in a file whose writer
        has died.
        """
        dataset = self.sequence.dataset
        if 0 in unwritten and len(dataset):
            dataset[0] = 0
        for first, last in unwritten:
            if last - first < _NUMBERED_GAP and last + 1 < len(dataset):
                below = np.arange(last + 1 - first, 0, -1) * self._step
                self.sequence.put(first, np.maximum(0, int(dataset[last + 1]) - below))

    def _set_time(self, key: str, column: Column | None, value: Any, row: int) -> None:
        if value is UNSET:
            return
        values = value if isinstance(value, tuple) else (value,)
        for index, item in enumerate(values):
            if column is None or (key == "acquisition_timestamp" and not _fits(item, int)):
                self._note(row + index, key, item)
            else:
                column.set(row + index, item)

    def _set_custom(self, key: str, value: Any, row: int, count: int) -> None:
        column, kind = self._custom.get(key, (None, object))
        for index, item in enumerate(_a_frame(value, count)):
            if column is not None and _fits(item, kind):
                column.set(row + index, item)
            else:
                self._note(row + index, key, item)

    def _note(self, row: int, key: str, value: Any) -> None:
        self._new_notes += msgspec.json.encode({"row": row, "key": key, "value": value}) + b"\n"

    def columns(self) -> list[Column]:
        """All columns."""
        fixed = [column for column in (self.sequence, self._timestamp, self._acquired) if column]
        return fixed + [column for column, _ in self._custom.values()] + [axis.column for axis in self._axes]

    def flush(self) -> bool:
        """Writes what is new; whether the file must be flushed for others to see it."""
        extended = bool(self._new_notes)
        rows = self.sequence.next_row
        for column in self.columns():
            column.flush()
            extended |= column.extended
            column.extended = False
        if rows and not self._first_is_said:
            # Not by the column: nothing that follows the numbers is to follow this one.
            self.sequence.dataset[0] = NO_FRAME
            self._first_is_said = True
        if self._new_notes:
            start, stop = self.notes_bytes, self.notes_bytes + len(self._new_notes)
            if stop > len(self._notes):
                self._notes.resize((stop,))
            self._notes[start:stop] = np.frombuffer(bytes(self._new_notes), np.uint8)
            self.notes_bytes = stop
            self._new_notes.clear()
        return extended


def cut_numbers(detector: h5py.Group, rows: int, notes_bytes: int) -> None:
    """Makes all columns exactly so many rows long, and the notes so many bytes."""
    group = detector["frame_specific"]
    lengths = {detector[name]: rows for name in _FIXED if name in detector}
    lengths |= {dataset: notes_bytes if name == "notes" else rows for name, dataset in group.items()}
    lengths |= dict.fromkeys(axis_columns(detector.file), rows)
    for dataset, length in lengths.items():
        if len(dataset) != length:
            dataset.resize((length,))


def _create_custom(group: h5py.Group, key: str, sample: Any, *, ahead: bool) -> Column | None:
    name = safe_name(key)
    if name in group or name == "notes":
        return None
    if _fits(sample, int):
        column = Column.create(group, name, "<i8", 0, ahead=ahead)
    elif isinstance(sample, float):
        column = Column.create(group, name, "<f8", _NAN, ahead=ahead)
    else:
        return None
    if name != key:
        column.dataset.attrs["key"] = key.replace("\0", _NUL)
    return column


def _show_times(detector: h5py.Group, group: h5py.Group) -> None:
    for name in _SHOWN:
        if detector.get(name, getlink=True) is not None:
            del detector[name]  # of a writer that died before its first frame was flushed
        if name in group and group[name].attrs.get("units") in _TIMES:
            detector[name] = h5py.SoftLink(group[name].name)


def _fits(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return False
    if kind is float:
        return isinstance(value, float) or (isinstance(value, int) and abs(value) <= 2**53)
    return isinstance(value, int) and -(2**63) <= value < 2**63


def _a_frame(value: Any, count: int) -> list[Any]:
    """The value of each of a message's frames: a list has one for each, or belongs to the first as it is."""
    return value if isinstance(value, list) and len(value) == count else [value]
