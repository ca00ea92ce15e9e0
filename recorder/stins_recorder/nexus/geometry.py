"""Where the detector stands, as far as a series-start says it, and what is not known for NXmx. Pure values.

Directions and axes: docs/stins.md, "Geometry". NXmx: the application definition of NeXus for crystallography.
"""

from collections.abc import Iterator, Sequence
from math import hypot, inf
from typing import Final

import msgspec
from msgspec import UnsetType

from stins import Acquisition, Axis, Detector, SeriesStart
from stins.messages import Vector, is_series_array

__all__ = ["Geometry", "direction", "geometry_of", "missing_for_nxmx"]

#: An upright detector as the sample sees it: rows to the right, columns downwards.
_FAST: Final[Vector] = (-1.0, 0.0, 0.0)
_SLOW: Final[Vector] = (0.0, -1.0, 0.0)
#: Directions whose cross product is shorter are no two directions.
_PARALLEL = 1e-3
#: Below it a vector has too few digits for a direction.
_NO_LENGTH = 1e-300


class Geometry(msgspec.Struct, frozen=True, kw_only=True):
    """The plane of the detector: lengths in m, the beam centre in pixels (along a row, along a column)."""

    image_shape: tuple[int, int]
    pixel_size: tuple[float, float]
    beam_center: tuple[float, float]
    distance: float
    fast: Vector
    slow: Vector

    @property
    def to_first_pixel(self) -> Vector:
        """From where the direct beam hits to the outer corner of the first pixel, in m."""
        along_row, along_column = (-n * size for n, size in zip(self.beam_center, self.pixel_size, strict=True))
        x, y, z = (along_row * f + along_column * s for f, s in zip(self.fast, self.slow, strict=True))
        return x, y, z


def geometry_of(start: SeriesStart) -> Geometry | None:
    """The geometry, None if anything of it is not known."""
    detector, acquisition = start.detector or Detector(), start.acquisition or Acquisition()
    shape, directions = _image_shape(start), _directions(acquisition)
    if any(_unknown_geometry(start)) or directions is None:
        return None
    return Geometry(
        image_shape=(shape[0], shape[1]),
        pixel_size=(_number(detector.x_pixel_size), _number(detector.y_pixel_size)),
        beam_center=(_number(acquisition.beam_center_x), _number(acquisition.beam_center_y)),
        distance=_number(acquisition.distance),
        fast=directions[0],
        slow=directions[1],
    )


def missing_for_nxmx(start: SeriesStart) -> tuple[str, ...]:
    """The keys of the series-start that are absent, or mean nothing (a distance of 0), and that NXmx can't do without.

    Empty: the file may claim NXmx. Names that NXmx wants too are no reason not to: an unknown sample has a geometry.
    """
    return (*_unknown_geometry(start), *_unknown_otherwise(start))


def direction(vector: Vector | UnsetType | None) -> Vector | None:
    """The vector at length 1; None where there is none, or where its length is none."""
    length = hypot(*vector) if vector else 0.0
    if not vector or not _NO_LENGTH < length < inf:
        return None
    x, y, z = (component / length for component in vector)
    return x, y, z


def _unknown_geometry(start: SeriesStart) -> Iterator[str]:
    detector, acquisition = start.detector or Detector(), start.acquisition or Acquisition()
    if len(_image_shape(start)) != 2:
        yield "data"
    for key in ("x_pixel_size", "y_pixel_size"):
        if _number(getattr(detector, key)) <= 0:
            yield f"detector.{key}"
    if _number(acquisition.distance) <= 0:
        yield "acquisition.distance"
    for key in ("beam_center_x", "beam_center_y"):
        if isinstance(getattr(acquisition, key), UnsetType):
            yield f"acquisition.{key}"
    if _directions(acquisition) is None:
        yield "acquisition.fast_direction, slow_direction"
    yield from _loose("detector_axes", acquisition.detector_axes or ())


def _unknown_otherwise(start: SeriesStart) -> Iterator[str]:
    detector, acquisition = start.detector or Detector(), start.acquisition or Acquisition()
    if not detector.sensor_material:
        yield "detector.sensor_material"
    if _number(detector.sensor_thickness) <= 0:
        yield "detector.sensor_thickness"
    if _number(acquisition.incident_energy) <= 0:
        yield "acquisition.incident_energy"
    yield from _loose("goniometer", acquisition.goniometer or ())


def _loose(chain: str, axes: Sequence[Axis]) -> Iterator[str]:
    """Axes of which nobody knows what they do to what they carry; one that stays at 0 does nothing."""
    for axis in axes:
        if (axis.start or axis.increment) and direction(axis.vector) is None:
            yield f"acquisition.{chain}.{axis.name}.vector"


def _number(value: float | UnsetType) -> float:
    """0 where there is none."""
    return 0.0 if isinstance(value, UnsetType) else value


def _directions(acquisition: Acquisition) -> tuple[Vector, Vector] | None:
    fast = direction(acquisition.fast_direction or _FAST)
    slow = direction(acquisition.slow_direction or _SLOW)
    if fast is None or slow is None or hypot(*_cross(fast, slow)) < _PARALLEL:
        return None
    return fast, slow


def _cross(a: Vector, b: Vector) -> Vector:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def _image_shape(start: SeriesStart) -> tuple[int, ...]:
    """The shape of what will be called `data`; empty where nothing was announced."""
    if start.frame:
        return start.frame.shape
    return next((part.shape for part in start.data or () if not is_series_array(part.name)), ())
