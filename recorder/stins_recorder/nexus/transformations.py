"""The chains of NXtransformations: where the detector's pixels are, and how the sample is turned.

Each axis names the one that carries it (@depends_on), the last one "."; a reader multiplies them up. The angles of an
axis that moves with the frames become a column at the first one (`scan_axes`).
"""

from collections.abc import Sequence

import h5py
import numpy as np
from msgspec import UNSET

from stins import Acquisition, Axis, SeriesStart
from stins.messages import Vector

from .geometry import Geometry, direction
from .places import SAMPLE, TRANSFORMATIONS, add_field, add_group

__all__ = ["write_detector_chain", "write_sample"]

#: The axis that the detector stands away on, along the beam.
_DISTANCE = "detector_z"
_FLOOR = "."
_UNKNOWN = "unknown"


def write_detector_chain(detector: h5py.Group, start: SeriesStart, geometry: Geometry | None) -> None:
    """The detector's axes and, where its geometry is known, its place and that of its pixels."""
    axes = (start.acquisition or Acquisition()).detector_axes or ()
    if not axes and geometry is None:
        return
    group = add_group(detector, TRANSFORMATIONS, "NXtransformations")
    carrier = _write_axes(group, axes)
    if geometry is not None:
        name = _DISTANCE
        while name in group:
            name += "_"
        place = _translation(group, name, geometry.distance, (0.0, 0.0, 1.0), carrier)
        add_field(detector, "depends_on", place)
        add_field(detector, "distance_derived", value=False)
        _write_module(add_group(detector, "module", "NXdetector_module"), geometry, place)


def write_sample(entry: h5py.Group, start: SeriesStart, *, required: bool) -> None:
    """The sample, if anything is known of it or `required`: its name, and the goniometer that carries it."""
    beamline, acquisition = start.beamline, start.acquisition or Acquisition()
    name = UNSET if beamline is UNSET else beamline.sample_name
    if not (name or acquisition.goniometer or required):
        return
    sample = add_group(entry, SAMPLE.rpartition("/")[2], "NXsample")
    add_field(sample, "name", name or _UNKNOWN)
    carrier = _FLOOR
    if acquisition.goniometer:
        carrier = _write_axes(add_group(sample, TRANSFORMATIONS, "NXtransformations"), acquisition.goniometer)
    add_field(sample, "depends_on", carrier)


def _write_axes(group: h5py.Group, axes: Sequence[Axis]) -> str:
    """The axes of a chain; returns the path of the first, which carries the thing, or "." where there is none."""
    carrier = _FLOOR
    for axis in reversed(axes):
        field = add_field(group, axis.name, axis.start, "deg")
        if axis.increment:
            # What the angles of frames are made of, for as long as there is none.
            field.attrs.update({"start": axis.start, "increment": axis.increment})
        vector = direction(axis.vector)
        if vector is not None:
            carrier = _transform(field, "rotation", vector, carrier)
    for axis in axes:
        name = f"{axis.name}_increment_set"
        if axis.increment and name not in group:
            add_field(group, name, axis.increment, "deg")
    return carrier


def _write_module(module: h5py.Group, geometry: Geometry, place: str) -> None:
    """One module for the whole image: from the detector's place to its first pixel, and on along both directions."""
    add_field(module, "data_origin", [0, 0])
    add_field(module, "data_size", list(geometry.image_shape))
    offset = geometry.to_first_pixel
    length = float(np.hypot.reduce(offset))
    origin = _translation(module, "module_offset", length, direction(offset) or (1.0, 0.0, 0.0), place)
    across, down = geometry.pixel_size
    _translation(module, "fast_pixel_direction", across, geometry.fast, origin)
    _translation(module, "slow_pixel_direction", down, geometry.slow, origin)


def _translation(group: h5py.Group, name: str, length: float, vector: Vector, carrier: str) -> str:
    return _transform(add_field(group, name, length, "m"), "translation", vector, carrier)


def _transform(field: h5py.Dataset, kind: str, vector: Vector, carrier: str) -> str:
    field.attrs.update(
        {
            "transformation_type": kind,
            "vector": np.array(vector),
            "offset": np.zeros(3),
            "offset_units": "m",
            "depends_on": carrier,
        }
    )
    return str(field.name)
