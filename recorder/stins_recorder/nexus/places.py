"""Where things stand in a file: the paths of its groups, and how a group or a field with a unit is made."""

from typing import Any, Final

import h5py

from .tree import store_value

__all__ = ["DATA", "DETECTOR", "ENTRY", "INSTRUMENT", "SAMPLE", "SERIES", "TRANSFORMATIONS", "add_field", "add_group"]

ENTRY: Final = "/entry"
INSTRUMENT, SAMPLE, DATA, SERIES = "/entry/instrument", "/entry/sample", "/entry/data", "/entry/series"
DETECTOR: Final = "/entry/instrument/detector"
#: The group of a sample's or a detector's axes, in that of the sample or the detector.
TRANSFORMATIONS: Final = "transformations"


def add_group(parent: h5py.Group, name: str, nx_class: str, **attrs: str) -> h5py.Group:
    """A new group of a NeXus class."""
    group = parent.create_group(name)
    group.attrs.update({"NX_class": nx_class, **attrs})
    return group


def add_field(group: h5py.Group, name: str, value: Any, units: str | None = None) -> h5py.Dataset:
    """A new field with its unit."""
    field = store_value(group, name, value)
    if units:
        field.attrs["units"] = units
    return field
