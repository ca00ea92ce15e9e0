"""The detector's configuration, as SIMPLON names it, in STINS' words and units."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from stins import Acquisition, Detector
from stins.messages import Part

__all__ = ["acquisition", "detector", "frame_description", "frames_expected"]

V = TypeVar("V", bound=msgspec.Struct)

# SIMPLON's units are STINS' already: s, eV, m, pixels.
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
}
_ACQUISITION = {
    "count_time": "count_time",
    "frame_time": "frame_time",
    "trigger_mode": "trigger_mode",
    "frames_per_trigger": "nimages",
    "triggers_expected": "ntrigger",
    "incident_energy": "photon_energy",
    "beam_center_x": "beam_center_x",
    "beam_center_y": "beam_center_y",
    "distance": "detector_distance",
    "roi": "roi_mode",
}
_DTYPES = {8: "uint8", 16: "uint16", 32: "uint32"}


def detector(config: Mapping[str, Any]) -> Detector:
    """What stays the same for this detector."""
    found = _found(config, _DETECTOR)
    shape = _shape(config)
    return msgspec.convert({**found, "vendor": "DECTRIS", **({"sensor_shape": shape} if shape else {})}, Detector)


def acquisition(config: Mapping[str, Any]) -> Acquisition:
    """What was set for the series."""
    found = _found(config, _ACQUISITION)
    if "incident_energy" not in found and "incident_energy" in config:
        found["incident_energy"] = config["incident_energy"]
    threshold = config.get("threshold_energy")
    if isinstance(threshold, int | float):
        found["threshold_energy"] = [threshold]
    return msgspec.convert(found, Acquisition)


def frame_description(config: Mapping[str, Any]) -> tuple[Part, ...]:
    """What every frame will look like; nothing, where the header had no configuration."""
    shape, dtype = _shape(config), _DTYPES.get(config.get("bit_depth_image", 0))
    return (Part(name="threshold_1", shape=shape, dtype=dtype),) if shape and dtype else ()


def frames_expected(config: Mapping[str, Any]) -> int | None:
    """How many images the detector was told to take."""
    images, triggers = config.get("nimages"), config.get("ntrigger")
    return images * triggers if isinstance(images, int) and isinstance(triggers, int) else None


def _shape(config: Mapping[str, Any]) -> tuple[int, int] | None:
    rows, columns = config.get("y_pixels_in_detector"), config.get("x_pixels_in_detector")
    return (rows, columns) if isinstance(rows, int) and isinstance(columns, int) else None


def _found(config: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """An empty text says that nothing is set."""
    return {ours: config[theirs] for ours, theirs in names.items() if config.get(theirs, "") not in ("", None)}
