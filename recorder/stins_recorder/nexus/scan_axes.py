"""The angles of axes that move with the frames: a number for each row, in the sample's or the detector's chain.

Until the first frame such an axis is a single number, its start. The angle is what the detector was told, at the
beginning of the exposure: start + frame number x increment. So a frame that is missing or discarded shifts no other.
"""

from collections.abc import Iterator

import h5py

from ..storage.columns import Column, Numbers
from .places import DETECTOR, SAMPLE, TRANSFORMATIONS

__all__ = ["ScanAxis", "angles", "axis_columns", "create_axes"]

_CHAINS = (f"{SAMPLE}/{TRANSFORMATIONS}", f"{DETECTOR}/{TRANSFORMATIONS}")
_NAN = float("nan")


class ScanAxis:
    """An axis whose column follows the frame numbers."""

    def __init__(self, dataset: h5py.Dataset, rows: int, descriptor: int = -1) -> None:
        """Goes on behind so many rows; `descriptor` as a column's."""
        self.column = Column(dataset, rows, descriptor)

    def follow(self, row: int, numbers: Numbers) -> None:
        """The angles for frames of these numbers, in rows `row` …"""
        self.column.put(row, angles(self.column.dataset, numbers))


def angles(axis: h5py.Dataset, numbers: Numbers) -> Numbers:
    """The angles of a moving axis at the frames of these numbers."""
    return float(axis.attrs["start"]) + float(axis.attrs["increment"]) * numbers.astype("<f8")


def create_axes(file: h5py.File, *, ahead: bool) -> None:
    """Makes a column of each axis that moves; `ahead`: its room is taken when it is extended."""
    for axis in list(_moving(file)):
        group, name, attributes = axis.parent, axis.name.rpartition("/")[2], dict(axis.attrs)
        del group[name]
        Column.create(group, name, "<f8", _NAN, ahead=ahead).dataset.attrs.update(attributes)


def axis_columns(file: h5py.File) -> list[h5py.Dataset]:
    """The axes that have a number for each row."""
    return [axis for axis in _moving(file) if axis.ndim == 1]


def _moving(file: h5py.File) -> Iterator[h5py.Dataset]:
    for chain in _CHAINS:
        found = file.get(chain, {}).values()
        yield from (axis for axis in found if isinstance(axis, h5py.Dataset) and "increment" in axis.attrs)
