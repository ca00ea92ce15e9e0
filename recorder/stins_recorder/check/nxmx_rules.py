"""What a file must have that claims NXmx: a reader finds each pixel and each angle by it, or reads nonsense.

Source: the application definition NXmx and NXtransformations of the NeXus definitions.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

import h5py
import numpy as np

from stins.findings import Fault, Severity

from ..nexus import DETECTOR, ENTRY
from .file_rule import FileCheck, file_rule
from .recorded_file import RecordedFile

__all__ = ["NXMX_CHECKS"]

Place: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

_MODULE = f"{DETECTOR}/module"
_PIXELS = (f"{_MODULE}/fast_pixel_direction", f"{_MODULE}/slow_pixel_direction")
_REQUIRED: Final = (
    f"{ENTRY}/end_time_estimated",
    f"{ENTRY}/source/name",
    f"{ENTRY}/sample/name",
    f"{ENTRY}/sample/depends_on",
    f"{ENTRY}/instrument/name",
    f"{ENTRY}/instrument/beam/incident_wavelength",
    f"{DETECTOR}/sensor_material",
    f"{DETECTOR}/sensor_thickness",
    f"{_MODULE}/data_origin",
    f"{_MODULE}/data_size",
    *_PIXELS,
)
#: Metres, and radians, in a unit.
_LENGTHS: Final[Mapping[str, float]] = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6}
_ANGLES: Final[Mapping[str, float]] = {"deg": np.pi / 180, "degree": np.pi / 180, "degrees": np.pi / 180, "rad": 1.0}
_UNITS: Final = {"translation": _LENGTHS, "rotation": _ANGLES}
#: How well vectors have the length 1, and distances agree: they are made of doubles.
_CLOSE = 1e-6


@file_rule("nxmx.required", Severity.ERROR, "a file that claims NXmx has all that NXmx requires")
def _required(file: RecordedFile) -> Iterator[Fault]:
    if _claimed(file):
        for path in _REQUIRED:
            if file.dataset(path) is None:
                yield Fault(path, "nothing", "a field that NXmx requires")


@file_rule("nxmx.chain", Severity.ERROR, "@depends_on leads from sample and pixels, axis by axis, to the floor: '.'")
def _chain(file: RecordedFile) -> Iterator[Fault]:
    # Chains share their ends.
    yield from {fault: None for start in _starts(file) for _, fault in _steps(file, start) if fault is not None}


def _steps(file: RecordedFile, path: str) -> Iterator[tuple[str, Fault | None]]:
    """The axes from there to the floor, each with what is wrong with it."""
    passed: set[str] = set()
    while path != ".":
        axis = file.dataset(path)
        if axis is None:
            yield path, Fault(path, "no such field", "the axis that a @depends_on names")
            return
        yield path, _wrong(file, axis)
        passed.add(path)
        carrier = file.attribute(path, "depends_on") or "."
        carrier = carrier if carrier.startswith(("/", ".")) else f"{axis.parent.name}/{carrier}"
        if carrier in passed:
            yield carrier, Fault(carrier, "@depends_on that leads back to it", "a chain that ends at '.'")
            return
        path = carrier


@file_rule("nxmx.module", Severity.ERROR, "the module covers the image")
def _module(file: RecordedFile) -> Iterator[Fault]:
    image, size = file.dataset(f"{DETECTOR}/data"), file.dataset(f"{_MODULE}/data_size")
    if not _claimed(file) or image is None or size is None:
        return
    got = np.atleast_1d(size[()]).tolist()
    if got != list(image.shape[1:]):
        yield Fault(size.name, str(got), f"{list(image.shape[1:])}, as the image has")


@file_rule("nxmx.distance", Severity.ERROR, "the detector's chain puts it as far from the sample as its distance says")
def _distance(file: RecordedFile) -> Iterator[Fault]:
    distance, start = file.dataset(f"{DETECTOR}/distance"), file.text(f"{DETECTOR}/depends_on")
    if not _claimed(file) or distance is None or start is None:
        return
    said = float(distance[()]) * _LENGTHS.get(file.attribute(distance.name, "units") or "", np.nan)
    place = _place(file, start)
    # A missing frame may have no angle.
    if place is not None and abs(np.linalg.norm(place) - said) > _CLOSE * said:
        yield Fault(start, f"a chain that ends {np.linalg.norm(place):.6g} m from the sample", f"{said:.6g} m")


def _claimed(file: RecordedFile) -> bool:
    return file.text(f"{ENTRY}/definition") == "NXmx"


def _starts(file: RecordedFile) -> Iterator[str]:
    """Where chains begin."""
    if _claimed(file):
        for path in (f"{ENTRY}/sample/depends_on", f"{DETECTOR}/depends_on"):
            if (axis := file.text(path)) is not None:
                yield axis
        yield from (path for path in _PIXELS if file.dataset(path) is not None)


def _wrong(file: RecordedFile, axis: h5py.Dataset) -> Fault | None:
    kind, units = (file.attribute(axis.name, key) for key in ("transformation_type", "units"))
    if kind not in _UNITS:
        return Fault(axis.name, f"@transformation_type {kind!r}", "translation or rotation")
    if units not in _UNITS[kind]:
        return Fault(axis.name, f"@units {units!r} for a {kind}", f"one of {', '.join(_UNITS[kind])}")
    vector = _vector(axis, "vector")
    if vector is None or abs(np.linalg.norm(vector) - 1) > _CLOSE:
        return Fault(axis.name, f"@vector {axis.attrs.get('vector')}", "three numbers, of length 1")
    if file.attribute(axis.name, "depends_on") is None:
        return Fault(axis.name, "no @depends_on", "the path of the axis that carries it, or '.'")
    return None


def _vector(axis: h5py.Dataset, name: str) -> Place | None:
    value = axis.attrs.get(name)
    array = np.asarray(value) if value is not None else np.empty(0)
    return array.astype(np.float64) if array.shape == (3,) and array.dtype.kind in "iuf" else None


def _place(file: RecordedFile, start: str) -> Place | None:
    """Where the chain puts its origin at the first frame, in m; None where the chain is broken, which has its rule."""
    steps = list(_steps(file, start))
    if any(fault is not None for _, fault in steps):
        return None
    place = np.zeros(3)
    for path, _ in steps:
        axis = file.h5[path]
        vector, kind = _vector(axis, "vector"), file.attribute(path, "transformation_type")
        assert vector is not None and kind is not None  # noqa: S101, PT018  # nothing is wrong with it
        value = float(axis[0] if axis.ndim else axis[()]) * _UNITS[kind][file.attribute(path, "units") or ""]
        place = place + value * vector if kind == "translation" else _turned(place, vector, value)
    return place


def _turned(place: Place, about: Place, angle: float) -> Place:
    """Rodrigues' formula."""
    along = about * np.dot(about, place)
    turned: Place = along + (place - along) * np.cos(angle) + np.cross(about, place) * np.sin(angle)
    return turned


NXMX_CHECKS: Final[tuple[FileCheck, ...]] = (_required, _chain, _module, _distance)
