"""The NeXus tree of a file: what stands around the frames, in its place and with its units.

Base classes as in the NeXus definitions (NXroot, NXentry, NXinstrument, NXdetector, NXbeam, NXdata). `definition` is
not claimed: an application definition needs the geometry of the whole instrument.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import h5py
import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from stins import Part, SeriesStart
from stins.messages import SERIES_ARRAYS, Payload

from .decompress import pixels
from .errors import RecorderError
from .tree import store_tree, store_value

__all__ = ["DATA", "DETECTOR", "SERIES", "add_default_plot", "build_tree", "now_iso", "plot_frames"]

ENTRY, DETECTOR, DATA, SERIES = "/entry", "/entry/instrument/detector", "/entry/data", "/entry/series"
_PLANCK_TIMES_LIGHT_EV_ANGSTROM = 12398.419843320026  # CODATA 2018: h c / e, in eV angstrom

#: Key of STINS -> (field of NXdetector, unit). What NXdetector has no field for is kept under its own name.
_DETECTOR_FIELDS: Mapping[str, tuple[str, str | None]] = {
    "sensor_thickness": ("sensor_thickness", "m"),
    "x_pixel_size": ("x_pixel_size", "m"),
    "y_pixel_size": ("y_pixel_size", "m"),
    "count_time": ("count_time", "s"),
    "frame_time": ("frame_time", "s"),
    "threshold_energy": ("threshold_energy", "eV"),
    "beam_center_x": ("beam_center_x", "pixel"),
    "beam_center_y": ("beam_center_y", "pixel"),
    "distance": ("distance", "m"),
    "gain": ("gain_setting", None),
}
_NOT_IN_DETECTOR = frozenset({"incident_energy"})


def now_iso() -> str:
    """Now, ISO 8601 with microseconds and UTC."""
    return datetime.now(UTC).isoformat()


def build_tree(file: h5py.File, start: SeriesStart, payload: Sequence[Payload]) -> None:
    """Everything that is known when a series starts; frames and their numbers come beside it."""
    _root(file)
    entry = _group(file, "entry", "NXentry", default="data")
    entry["start_time"] = now_iso()
    entry["program_name"] = "stins-ophyd recorder"
    instrument = _group(entry, "instrument", "NXinstrument")
    detector = _group(instrument, "detector", "NXdetector")
    _series(_group(entry, "series", "NXcollection"), start)
    _fields(detector, start)
    _beam(instrument, start)
    _arrays(detector, start, payload)
    if start.detector_specific:
        store_tree(_group(detector, "detector_specific", "NXcollection"), start.detector_specific)
    _group(entry, "data", "NXdata")


def add_default_plot(file: h5py.File, axis: str | None, rank: int) -> None:
    """Makes `/entry/data` plot the frames over their numbers, once the datasets stand."""
    detector, data = file[DETECTOR], file[DATA]
    signal = detector["data"]
    signal.attrs["target"] = f"{DETECTOR}/data"
    data["data"] = signal
    data.attrs["signal"] = "data"
    if rank >= 3:
        signal.attrs["interpretation"] = "image"
    if axis:
        detector[axis].attrs["target"] = f"{DETECTOR}/{axis}"
        data["frame_number"] = detector[axis]
        data.attrs["axes"] = ["frame_number", *["."] * (rank - 1)]
        data.attrs["frame_number_indices"] = 0


def plot_frames(file: h5py.File) -> None:
    """Lets the default plot show what is called `data` now."""
    if "data" in file[DATA]:
        del file[DATA]["data"]
    file[DATA]["data"] = file[f"{DETECTOR}/data"]


def _root(file: h5py.File) -> None:
    file.attrs.update(
        {
            "NX_class": "NXroot",
            "default": "entry",
            "creator": "stins-ophyd recorder",
            "file_name": str(file.filename),
            "file_time": now_iso(),
            "HDF5_Version": h5py.version.hdf5_version,
            "h5py_version": h5py.version.version,
        }
    )


def _group(parent: h5py.Group, name: str, nx_class: str, **attrs: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs.update({"NX_class": nx_class, **attrs})
    return group


def _series(group: h5py.Group, start: SeriesStart) -> None:
    values = _present(start.series)
    if start.arm_time:
        values["arm_time"] = start.arm_time
    store_tree(group, values)


def _fields(detector: h5py.Group, start: SeriesStart) -> None:
    for key, value in {**_present(start.detector), **_present(start.acquisition)}.items():
        if key not in _NOT_IN_DETECTOR:
            name, units = _DETECTOR_FIELDS.get(key, (key, None))
            field = store_value(detector, name, value)
            if units:
                field.attrs["units"] = units
    series = start.series
    store_value(detector, "local_name", series.source if series is not UNSET and series.source else "detector")


def _beam(instrument: h5py.Group, start: SeriesStart) -> None:
    energy = start.acquisition.incident_energy if start.acquisition is not UNSET else UNSET
    if isinstance(energy, UnsetType):
        return
    beam = _group(instrument, "beam", "NXbeam")
    beam["incident_energy"] = energy
    beam["incident_energy"].attrs["units"] = "eV"
    if energy > 0:
        beam["incident_wavelength"] = _PLANCK_TIMES_LIGHT_EV_ANGSTROM / energy
        beam["incident_wavelength"].attrs["units"] = "angstrom"


def _arrays(detector: h5py.Group, start: SeriesStart, payload: Sequence[Payload]) -> None:
    """Pixel mask and flat field: the binary parts of the series-start."""
    described = [part for part in start.data or () if part.name in SERIES_ARRAYS]
    for part, content in zip(described, payload, strict=True):
        _store_array(detector, part, content)


def _store_array(detector: h5py.Group, part: Part, content: Payload) -> None:
    try:
        detector.create_dataset(part.name, data=pixels(part, content))
    except (RecorderError, OSError):
        # No series is lost for its mask: the bytes are kept, with what was said of them.
        raw = detector.create_dataset(part.name, data=np.frombuffer(content, np.uint8))
        raw.attrs.update({"shape": part.shape, "dtype": part.dtype, "compression": part.compression})


def _present(value: msgspec.Struct | UnsetType) -> dict[str, Any]:
    """The keys that a message really had, null included."""
    return {} if isinstance(value, UnsetType) else dict(msgspec.to_builtins(value))
