"""What the NXdetector group says of the detector: its fields with their units, its channels, and its arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from stins import Acquisition, Part, SeriesStart
from stins.messages import Payload, is_series_array, series_array

from ..errors import RecorderError
from ..pixels.decompress import pixels
from .places import add_field, add_group

__all__ = ["present", "write_arrays", "write_fields"]

#: Key of STINS -> (field of NXdetector, unit). What is not here is kept under its own name, without a unit.
_FIELDS: Mapping[str, tuple[str, str | None]] = {
    "sensor_thickness": ("sensor_thickness", "m"),
    "x_pixel_size": ("x_pixel_size", "m"),
    "y_pixel_size": ("y_pixel_size", "m"),
    "detector_readout_time": ("detector_readout_time", "s"),
    "dead_time": ("dead_time", "s"),
    "count_time": ("count_time", "s"),
    "frame_time": ("frame_time", "s"),
    "threshold_energy": ("threshold_energy", "eV"),
    "beam_center_x": ("beam_center_x", "pixel"),
    "beam_center_y": ("beam_center_y", "pixel"),
    "distance": ("distance", "m"),
    "gain": ("gain_setting", None),
}
#: What has another place: the beam's, a group's of its own, or (the units) beside the numbers.
_ELSEWHERE = frozenset({"incident_energy", "detector_axes", "goniometer", "channels", "frame_units"})
#: The table of NXdetector has one axis: the count itself is the index. Pairs have no place there.
_TABLE, _INDEXED_TABLE = "countrate_correction_table", "countrate_correction_lookup_table"


def write_fields(detector: h5py.Group, start: SeriesStart) -> None:
    """All that the series-start says of the detector and its settings, in its place."""
    for key, value in {**present(start.detector), **present(start.acquisition)}.items():
        if key not in _ELSEWHERE:
            name, units = _FIELDS.get(key, (key, None))
            add_field(detector, name, value, units)
    series = start.series
    add_field(detector, "local_name", series.source if series is not UNSET and series.source else "detector")
    for name, channel in ((start.acquisition or Acquisition()).channels or {}).items():
        group = _channel(detector, name)
        for key, value in present(channel).items():
            # One threshold is a number, as NXdetector_channel has it; two are those between which is counted.
            one = key == "threshold_energy" and len(value) == 1
            add_field(group, key, value[0] if one else value, _FIELDS.get(key, (key, None))[1])


def write_arrays(detector: h5py.Group, start: SeriesStart, payload: Sequence[Payload]) -> None:
    """The binary parts of the series-start: pixel mask, flat field, count-rate table, of all channels or of one."""
    announced = start.data or ()
    arrays = [part for part in announced if is_series_array(part.name)]
    for part, content in zip(arrays, payload, strict=True):
        array, channel = series_array(part.name)
        group = _channel(detector, channel) if channel else detector
        _store_array(group, _INDEXED_TABLE if array == _TABLE and len(part.shape) == 1 else array, part, content)
    shown = next((part.name for part in announced if not is_series_array(part.name)), "")
    for array in ("pixel_mask", "flatfield"):
        # Readers look for it beside `data`, which shows this channel.
        if array not in detector and f"{shown}_channel/{array}" in detector:
            detector[array] = h5py.SoftLink(f"{detector.name}/{shown}_channel/{array}")


def present(value: msgspec.Struct | UnsetType) -> dict[str, Any]:
    """The keys that a message really had, null included."""
    return {} if isinstance(value, UnsetType) else dict(msgspec.to_builtins(value))


def _channel(detector: h5py.Group, channel: str) -> h5py.Group:
    name = f"{channel}_channel"
    return detector[name] if name in detector else add_group(detector, name, "NXdetector_channel")


def _store_array(group: h5py.Group, name: str, part: Part, content: Payload) -> None:
    try:
        group.create_dataset(name, data=pixels(part, content))
    except (RecorderError, OSError):
        # No series is lost for its mask: the bytes are kept, with what was said of them.
        raw = group.create_dataset(name, data=np.frombuffer(content, np.uint8))
        raw.attrs.update({"shape": part.shape, "dtype": part.dtype, "compression": part.compression})
