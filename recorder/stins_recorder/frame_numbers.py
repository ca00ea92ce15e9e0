"""The numbers that come with each frame: frame number, times, and whatever the source adds under detector_specific."""

from typing import Any, Self

import h5py
import msgspec
import numpy as np
from msgspec import UNSET

from stins import Data
from stins.messages import frame_count

from .columns import Column
from .nexus import SERIES
from .tree import safe_name

__all__ = ["FrameNumbers"]

_NAN = float("nan")
#: Rows of missing frames get their number too, so that the axis has no jump; wider gaps read as 0.
_NUMBERED_GAP = 4096
_FIXED = ("sequence_number", "timestamp", "acquisition_timestamp")
_KINDS: dict[str, type] = {"i": int, "f": float}


class FrameNumbers:
    """Columns for what the first frame carries; what doesn't fit a column later is kept as a line of JSON.

    Columns must exist before SWMR begins, so a number that first comes with a later frame can't have its own:
    it goes to `notes`, one JSON object a line (`{"row": …, "key": …, "value": …}`): no key is dropped.
    """

    def __init__(self, detector: h5py.Group, first: Data) -> None:
        self.sequence = Column(detector, "sequence_number", "<u8", 0)
        self._timestamp = self._optional(detector, first, "timestamp", dtype="<f8", fill=_NAN, units="s")
        self._acquired = self._optional(detector, first, "acquisition_timestamp", dtype="<i8", fill=0, units="ns")
        if self._acquired:
            self._acquired.dataset.attrs["start"] = "1970-01-01T00:00:00Z"
        self._custom: dict[str, tuple[Column, type]] = {}
        group = detector.require_group("frame_specific")
        group.attrs["NX_class"] = "NXcollection"
        for key, value in (first.detector_specific or {}).items():
            self._add_custom(group, key, _a_frame(value, frame_count(first))[0])
        self._notes = group.create_dataset("notes", shape=(0,), maxshape=(None,), chunks=(4096,), dtype="u1")
        self._notes.attrs["description"] = "lines of JSON in UTF-8: what had no column of its own"
        self._new_notes = bytearray()
        self._step = _step(detector)

    @classmethod
    def resume(cls, detector: h5py.Group, rows: int) -> Self:
        """The columns that a file has, cut to so many rows."""
        numbers = cls.__new__(cls)
        found = {name: Column.resume(detector[name], rows) for name in _FIXED if name in detector}
        numbers.sequence = found["sequence_number"]
        numbers._timestamp, numbers._acquired = found.get("timestamp"), found.get("acquisition_timestamp")
        group = detector["frame_specific"]
        custom = {name: dataset for name, dataset in group.items() if name != "notes"}
        numbers._custom = {
            str(dataset.attrs.get("key", name)): (Column.resume(dataset, rows), _KINDS[dataset.dtype.kind])
            for name, dataset in custom.items()
        }
        numbers._notes, numbers._new_notes = group["notes"], bytearray()
        numbers._step = _step(detector)
        return numbers

    @staticmethod
    def _optional(
        detector: h5py.Group, first: Data, key: str, *, dtype: str, fill: float | int, units: str
    ) -> Column | None:
        return None if getattr(first, key) is UNSET else Column(detector, key, dtype, fill, units)

    def _add_custom(self, group: h5py.Group, key: str, sample: Any) -> None:
        name = safe_name(key)
        if name in group or name == "notes":
            return
        if _fits(sample, int):
            self._custom[key] = (Column(group, name, "<i8", 0), int)
        elif isinstance(sample, float):
            self._custom[key] = (Column(group, name, "<f8", _NAN), float)
        if name != key and key in self._custom:
            self._custom[key][0].dataset.attrs["key"] = key.replace("\0", "\\0")

    def set(self, header: Data, row: int, count: int) -> None:
        """The numbers of frames `header.frame_number` … in rows `row` …"""
        gap = row - self.sequence.next_row
        for index in range(-gap if 0 < gap <= _NUMBERED_GAP else 0, count):
            self.sequence.set(row + index, header.frame_number + index * self._step)
        if header.timestamp is not UNSET or header.acquisition_timestamp is not UNSET:
            self._set_time("timestamp", self._timestamp, header.timestamp, row)
            self._set_time("acquisition_timestamp", self._acquired, header.acquisition_timestamp, row)
        if header.detector_specific:
            for key, value in header.detector_specific.items():
                self._set_custom(key, value, row, count)

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
        return fixed + [column for column, _ in self._custom.values()]

    def flush(self) -> None:
        """Writes what is new."""
        for column in self.columns():
            column.flush()
        if self._new_notes:
            start = self._notes.shape[0]
            self._notes.resize((start + len(self._new_notes),))
            self._notes[start:] = np.frombuffer(bytes(self._new_notes), np.uint8)
            self._new_notes.clear()


def _step(detector: h5py.Group) -> int:
    """By how much frame numbers grow from row to row: a share of a series has every n-th frame only."""
    count = detector.file.get(f"{SERIES}/share/count")
    return 1 if count is None else int(count[()])


def _fits(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return False
    if kind is float:
        return isinstance(value, float) or (isinstance(value, int) and abs(value) <= 2**53)
    return isinstance(value, int) and -(2**63) <= value < 2**63


def _a_frame(value: Any, count: int) -> list[Any]:
    """The value of each of a message's frames: a list has one for each, or belongs to the first as it is."""
    return value if isinstance(value, list) and len(value) == count else [value]
