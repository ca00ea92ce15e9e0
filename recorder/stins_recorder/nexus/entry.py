"""The NeXus tree of a file: what stands around the frames, in its place and with its units.

Base classes as in the NeXus definitions (NXroot, NXentry, NXinstrument, NXdetector, NXbeam, NXdata). `definition` NXmx
is claimed where the geometry of the whole instrument is known, and only there.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import h5py

from stins import Acquisition, SeriesStart
from stins.messages import Payload

from .detector_fields import present, write_arrays, write_fields
from .geometry import geometry_of, missing_for_nxmx
from .places import DATA, DETECTOR, add_group
from .surroundings import estimated_end, write_beam, write_names
from .transformations import write_detector_chain, write_sample
from .tree import store_tree

__all__ = ["add_default_plot", "build_tree", "now_iso", "plot_frames"]


def now_iso() -> str:
    """Now, ISO 8601 with microseconds, in UTC and with the Z that NXmx asks for."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def build_tree(file: h5py.File, start: SeriesStart, payload: Sequence[Payload]) -> None:
    """Everything that is known when a series starts; frames and their numbers come beside it."""
    _root(file)
    missing = missing_for_nxmx(start)
    entry = add_group(file, "entry", "NXentry", default="data")
    entry["start_time"] = now = now_iso()
    entry["program_name"] = "stins-ophyd recorder"
    if not missing:
        entry["definition"] = "NXmx"
        entry["end_time_estimated"] = estimated_end(now, start)
    instrument = add_group(entry, "instrument", "NXinstrument")
    detector = add_group(instrument, "detector", "NXdetector")
    _series(add_group(entry, "series", "NXcollection"), start, missing)
    write_names(entry, instrument, start, nxmx=not missing)
    write_beam(instrument, start)
    write_sample(entry, start, required=not missing)
    write_fields(detector, start)
    write_detector_chain(detector, start, geometry_of(start))
    write_arrays(detector, start, payload)
    if start.detector_specific:
        store_tree(add_group(detector, "detector_specific", "NXcollection"), start.detector_specific)
    add_group(entry, "data", "NXdata")


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


def _series(group: h5py.Group, start: SeriesStart, missing: Sequence[str]) -> None:
    values = present(start.series)
    if start.arm_time:
        values["arm_time"] = start.arm_time
    units = (start.acquisition or Acquisition()).frame_units
    if units:
        values["frame_units"] = units
    store_tree(group, values)
    if missing:
        group["nxmx_missing"] = list(missing)
