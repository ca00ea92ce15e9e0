"""What NeXus asks of the tree around the frames, so that a reader finds the plot, the units and the times.

The units stand here once more, beside those that the recorder writes: a rule that read the writer's own table could
never find the writer's mistake.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

import h5py
import numpy as np

from stins.findings import Fault, Severity

from ..nexus import DATA, DETECTOR, ENTRY
from .file_rule import FileCheck, file_rule
from .recorded_file import RecordedFile

__all__ = ["NEXUS_CHECKS"]

_CHAIN: Final[Mapping[str, str]] = {
    "/": "NXroot",
    ENTRY: "NXentry",
    "/entry/instrument": "NXinstrument",
    DETECTOR: "NXdetector",
    DATA: "NXdata",
}
_LENGTH = ("m", "cm", "mm", "um", "µm", "nm", "angstrom")
_TIME = ("s", "ms", "us", "µs", "ns", "min", "h")
_ENERGY = ("eV", "keV", "J")
_PIXEL = ("pixel", "pixels", *_LENGTH)
_PER_TIME = ("Hz", "1/s", "s^-1")
#: NeXus class -> field -> units that its kind (NX_LENGTH, NX_TIME, NX_ENERGY, NX_WAVELENGTH) allows.
_UNITS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "NXdetector": {
        "sensor_thickness": _LENGTH,
        "x_pixel_size": _LENGTH,
        "y_pixel_size": _LENGTH,
        "distance": _LENGTH,
        "beam_center_x": _PIXEL,
        "beam_center_y": _PIXEL,
        "count_time": _TIME,
        "frame_time": _TIME,
        "timestamp": _TIME,
        "acquisition_timestamp": _TIME,
        "start_time": _TIME,
        "stop_time": _TIME,
        "real_time": _TIME,
        "detector_readout_time": _TIME,
        "dead_time": _TIME,
        "threshold_energy": _ENERGY,
    },
    "NXdetector_channel": {"threshold_energy": _ENERGY},
    "NXdetector_module": {
        "module_offset": _LENGTH,
        "fast_pixel_direction": _LENGTH,
        "slow_pixel_direction": _LENGTH,
    },
    "NXbeam": {
        "incident_energy": _ENERGY,
        "incident_wavelength": _LENGTH,
        "incident_beam_size": _LENGTH,
        "total_flux": _PER_TIME,
    },
}


@file_rule("nexus.class", Severity.ERROR, "every group names its NeXus class, along the way to detector and data")
def _class(file: RecordedFile) -> Iterator[Fault]:
    for path, expected in _CHAIN.items():
        got = file.attribute(path, "NX_class") if path in file.h5 else "no such group"
        if got != expected:
            yield Fault(path, got or "no @NX_class", f"@NX_class {expected}")
    for node in file.nodes:
        if isinstance(node.object, h5py.Group) and node.path not in _CHAIN:
            got = file.attribute(node.path, "NX_class")
            if not (got or "").startswith("NX"):
                yield Fault(node.path, got or "no @NX_class", "@NX_class with a name that begins with NX")


@file_rule("nexus.default-plot", Severity.ERROR, "@default leads from the root to the entry, from there to the data")
def _default_plot(file: RecordedFile) -> Iterator[Fault]:
    for path, expected in (("/", "NXentry"), (ENTRY, "NXdata")):
        name = file.attribute(path, "default")
        target = f"{path.rstrip('/')}/{name}"
        if name is None:
            yield Fault(path, "no @default", f"@default, the name of an {expected} in it")
        elif name not in file.h5[path] or file.attribute(target, "NX_class") != expected:
            yield Fault(path, f"@default {name!r}", f"the name of an {expected} in it")


@file_rule("nexus.signal", Severity.ERROR, "@signal of the data names a dataset in it: what is plotted")
def _signal(file: RecordedFile) -> Iterator[Fault]:
    name = file.attribute(DATA, "signal")
    if name is None and _has_frames(file):
        yield Fault(DATA, "no @signal", "@signal, the name of a dataset in it")
    elif name is not None and file.dataset(f"{DATA}/{name}") is None:
        yield Fault(DATA, f"@signal {name!r}", "the name of a dataset in it")


@file_rule("nexus.axes", Severity.ERROR, "@axes has a name for each axis of the signal: a dataset as long as that axis")
def _axes(file: RecordedFile) -> Iterator[Fault]:
    signal = _signal_of(file)
    if signal is None or not (_has_frames(file) or "axes" in file.h5[DATA].attrs):
        return
    raw = file.h5[DATA].attrs.get("axes")
    names = [name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in np.atleast_1d(raw)]
    if raw is None or len(names) != signal.ndim:
        got = "no @axes" if raw is None else f"@axes {names}"
        yield Fault(DATA, got, f"{signal.ndim} names for the signal's shape {list(signal.shape)}")
        return
    for index, name in enumerate(names):
        if name != ".":
            yield from _axis(file, name, signal.shape[index])


def _axis(file: RecordedFile, name: str, points: int) -> Iterator[Fault]:
    axis = file.dataset(f"{DATA}/{name}")
    if axis is None:
        yield Fault(DATA, f"@axes with {name!r}", "names of datasets in it, or '.'")
    elif axis.ndim != 1 or axis.shape[0] > points or (file.ended and axis.shape[0] != points):
        # While a series runs the signal is extended ahead of its frames: there the axis may be the shorter one.
        yield Fault(f"{DATA}/{name}", f"shape {list(axis.shape)}", f"[{points}] as the signal has")


@file_rule("nexus.interpretation", Severity.WARNING, "a stack of frames says @interpretation image; viewers ask for it")
def _interpretation(file: RecordedFile) -> Iterator[Fault]:
    signal = _signal_of(file)
    if signal is not None and signal.ndim >= 3:
        got = file.attribute(signal.name, "interpretation")
        if got != "image":
            yield Fault(signal.name, f"@interpretation {got}" if got else "no @interpretation", "image")


@file_rule("nexus.units", Severity.ERROR, "every field that has a unit in NeXus names it in @units, one of its kind")
def _units(file: RecordedFile) -> Iterator[Fault]:
    for node in file.nodes:
        parent, _, name = node.path.rpartition("/")
        if not isinstance(node.object, h5py.Dataset):
            continue
        allowed = _UNITS.get(file.attribute(parent or "/", "NX_class") or "", {}).get(name)
        got = file.attribute(node.path, "units")
        if allowed and got not in allowed:
            yield Fault(node.path, f"@units {got!r}" if got else "no @units", f"one of {', '.join(allowed)}")


@file_rule("nexus.links", Severity.ERROR, "every link, and every @target, leads to the object that it names")
def _links(file: RecordedFile) -> Iterator[Fault]:
    for node in file.nodes:
        if node.object is None:
            yield Fault(node.path, f"a link to {node.link!r} that leads nowhere", "an object in the file")
            continue
        target = file.attribute(node.path, "target") if isinstance(node.object, h5py.Dataset) else None
        if target is not None and (target not in file.h5 or file.h5[target] != node.object):
            yield Fault(node.path, f"@target {target!r}", "the path of this very dataset")


@file_rule("nexus.times", Severity.ERROR, "start_time and end_time are ISO 8601 with a time zone, in this order")
def _times(file: RecordedFile) -> Iterator[Fault]:
    times = []
    for path in [f"{ENTRY}/start_time", *([f"{ENTRY}/end_time"] if file.ended else [])]:
        got = file.text(path)
        time = _parsed(got or "")
        if time is None:
            yield Fault(path, repr(got) if got else "nothing", "a time such as 2026-03-01T12:00:00+00:00")
        else:
            times.append(time)
    if len(times) == 2 and times[1] < times[0]:
        yield Fault(f"{ENTRY}/end_time", times[1].isoformat(), f"not before the start_time {times[0].isoformat()}")


def _parsed(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else None


def _signal_of(file: RecordedFile) -> h5py.Dataset | None:
    name = file.attribute(DATA, "signal")
    return None if name is None else file.dataset(f"{DATA}/{name}")


def _has_frames(file: RecordedFile) -> bool:
    """A series that ended before anything was known of its frames has nothing to plot."""
    return bool(len(file.numbers) or file.frames)


NEXUS_CHECKS: Final[tuple[FileCheck, ...]] = (
    _class, _default_plot, _signal, _axes, _interpretation, _units, _links, _times,
)  # fmt: skip
