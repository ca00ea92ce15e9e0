"""The detector's configuration, as SIMPLON names it, in STINS' words and units."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from stins import Acquisition, Detector
from stins.messages import Axis, Beamline, Channel, Part

__all__ = ["acquisition", "beamline", "channel_names", "detector", "frame_description", "frames_expected"]

V = TypeVar("V", bound=msgspec.Struct)
Config = Mapping[str, Any]

# SIMPLON's units are STINS' already: s, eV, m, pixels, degrees.
_DETECTOR = {
    "description": "description",
    "serial_number": "detector_number",
    "firmware": "eiger_fw_version",
    "sensor_material": "sensor_material",
    "sensor_thickness": "sensor_thickness",
    "x_pixel_size": "x_pixel_size",
    "y_pixel_size": "y_pixel_size",
    "bit_depth_readout": "bit_depth_readout",
    "saturation_value": "countrate_correction_count_cutoff",
    "detector_readout_time": "detector_readout_time",
}
_ACQUISITION = {
    "count_time": "count_time",
    "frame_time": "frame_time",
    "trigger_mode": "trigger_mode",
    "frames_per_trigger": "nimages",
    "triggers_expected": "ntrigger",
    "incident_energy": "photon_energy",
    "bit_depth_image": "bit_depth_image",
    "flatfield_applied": "flatfield_correction_applied",
    "pixel_mask_applied": "pixel_mask_applied",
    "countrate_correction_applied": "countrate_correction_applied",
    "virtual_pixel_interpolation_applied": "virtual_pixel_correction_applied",
    "roi": "roi_mode",
}
_BEAMLINE = {
    "name": "instrument_name",
    "source_name": "source_name",
    "sample_name": "sample_name",
    "total_flux": "total_flux",
}
#: The axes that carry the sample, the one next to it first; which way they turn, the detector doesn't know.
_SAMPLE_AXES = ("phi", "chi", "kappa", "omega")
_DTYPES = {8: "uint8", 16: "uint16", 32: "uint32"}
_THRESHOLD = re.compile(r"threshold_(\d+)")
#: What comes with each image, in both versions of the stream.
_FRAME_UNITS = {"start_time": "ns", "stop_time": "ns", "real_time": "ns"}


def detector(config: Config) -> Detector:
    """What stays the same for this detector."""
    found = _found(config, _DETECTOR)
    shape = _shape(config)
    return msgspec.convert({**found, "vendor": "DECTRIS", **({"sensor_shape": shape} if shape else {})}, Detector)


def acquisition(config: Config) -> Acquisition:
    """What was set for the series."""
    found = {**_found(config, _ACQUISITION), **_geometry(config), "frame_units": _FRAME_UNITS}
    if "incident_energy" not in found and "incident_energy" in config:
        found["incident_energy"] = config["incident_energy"]
    channels = channel_names(config)
    energies = [config.get(f"threshold/{number}/energy") for number in map(_number, channels) if number]
    if not energies or None in energies:
        energies = [config["threshold_energy"]] if _is_number(config.get("threshold_energy")) else []
    if energies:
        found["threshold_energy"] = energies
    if len(channels) > 1 or "difference" in channels:
        found["channels"] = {name: _channel(config, name) for name in channels}
    return msgspec.convert(found, Acquisition)


def beamline(config: Config) -> Beamline:
    """What the detector was told of where it is."""
    found = _found(config, _BEAMLINE)
    if not found.get("total_flux"):
        found.pop("total_flux", None)
    return msgspec.convert(found, Beamline)


def channel_names(config: Config) -> tuple[str, ...]:
    """The images that each exposure gives: of the enabled thresholds, and the difference of two."""
    numbers = sorted(int(key.split("/")[1]) for key in config if re.fullmatch(r"threshold/\d+/mode", key))
    enabled = [f"threshold_{number}" for number in numbers if config[f"threshold/{number}/mode"] == "enabled"]
    if config.get("threshold/difference/mode") == "enabled":
        enabled.append("difference")
    return tuple(enabled) or ("threshold_1",)


def frame_description(config: Config, channels: Sequence[str] = ("threshold_1",)) -> tuple[Part, ...]:
    """What every frame will look like, a part for each channel; nothing, where the configuration doesn't say."""
    shape, dtype = _shape(config), _DTYPES.get(config.get("bit_depth_image", 0))
    return tuple(Part(name=name, shape=shape, dtype=dtype) for name in channels) if shape and dtype else ()


def frames_expected(config: Config) -> int | None:
    """How many images the detector was told to take."""
    images, triggers = config.get("nimages"), config.get("ntrigger")
    return images * triggers if isinstance(images, int) and isinstance(triggers, int) else None


def _channel(config: Config, name: str) -> Channel:
    numbers: list[Any] = [_number(name)]
    if name == "difference":
        numbers = [config.get(f"threshold/difference/{side}_threshold") for side in ("lower", "upper")]
    energies = [config.get(f"threshold/{number}/energy") for number in numbers]
    return msgspec.convert({"threshold_energy": energies} if all(map(_is_number, energies)) else {}, Channel)


def _number(channel: str) -> int:
    """Of a threshold; 0 for a difference."""
    found = _THRESHOLD.fullmatch(channel)
    return int(found[1]) if found else 0


def _geometry(config: Config) -> dict[str, Any]:
    """Distance, beam centre and axes; zeros are what a detector says that was not told any."""
    found: dict[str, Any] = {}
    if config.get("detector_distance"):
        found["distance"] = config["detector_distance"]
    if config.get("beam_center_x") or config.get("beam_center_y"):
        found |= {key: config[key] for key in ("beam_center_x", "beam_center_y") if key in config}
    for key, names in (("goniometer", _SAMPLE_AXES), ("detector_axes", ("two_theta",))):
        axes = [axis for name in names if (axis := _axis(config, name)) is not None]
        if axes:
            found[key] = axes
    return found


def _axis(config: Config, name: str) -> dict[str, Any] | None:
    start, increment = config.get(f"{name}_start") or 0.0, config.get(f"{name}_increment") or 0.0
    return msgspec.to_builtins(Axis(name=name, start=start, increment=increment)) if start or increment else None


def _shape(config: Config) -> tuple[int, int] | None:
    rows, columns = config.get("y_pixels_in_detector"), config.get("x_pixels_in_detector")
    return (rows, columns) if isinstance(rows, int) and isinstance(columns, int) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _found(config: Config, names: Mapping[str, str]) -> dict[str, Any]:
    """An empty text says that nothing is set."""
    return {ours: config[theirs] for ours, theirs in names.items() if config.get(theirs, "") not in ("", None)}
