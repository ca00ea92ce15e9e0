"""The start message of stream v2 as the beginning of a series."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from stins import UNSET, SeriesHeader
from stins.messages import Part, Payload

from ..backend import BackendError, Opening
from .arrays import array_part, plain
from .cbor import TypedArray
from .config import acquisition, beamline, detector, frame_description, frames_expected

__all__ = ["opening"]

#: What the message calls otherwise than the configuration of the detector.
_NAMES = {
    "detector_description": "description",
    "detector_serial_number": "detector_number",
    "image_size_x": "x_pixels_in_detector",
    "image_size_y": "y_pixels_in_detector",
    "pixel_size_x": "x_pixel_size",
    "pixel_size_y": "y_pixel_size",
    "incident_energy": "photon_energy",
    "saturation_value": "countrate_correction_count_cutoff",
    "countrate_correction_enabled": "countrate_correction_applied",
    "flatfield_enabled": "flatfield_correction_applied",
    "pixel_mask_enabled": "pixel_mask_applied",
    "virtual_pixel_interpolation_enabled": "virtual_pixel_correction_applied",
}
_SAME = ("beam_center_x", "beam_center_y", "count_time", "frame_time", "sensor_material", "sensor_thickness")
_BITS = {"uint8": 8, "uint16": 16, "uint32": 32}
_TABLE = "countrate_correction_lookup_table"
#: Of the message itself, or kept in another place.
_ELSEWHERE = {"type", "flatfield", "pixel_mask", _TABLE}


def opening(message: Mapping[str, Any], known: Mapping[str, Any]) -> Opening:
    """The series as the detector announces it; `known` is what its configuration says, which the message may not."""
    try:
        return _opening(message, known)
    except msgspec.ValidationError as error:
        raise BackendError(f"stream v2: start: {error}") from None


def _opening(message: Mapping[str, Any], known: Mapping[str, Any]) -> Opening:
    config, channels = {**known, **_config(message)}, _channels(message)
    arrays, left_out = _arrays(message, channels)
    said = {key: plain(value) for key, value in message.items() if key not in _ELSEWHERE}
    specific = {**said, **left_out, **({"config": dict(known)} if known else {})}
    return Opening(
        header=SeriesHeader(
            detector=detector(config),
            acquisition=acquisition(config),
            beamline=beamline(config),
            data=(*frame_description(config, channels), *(part for part, _ in arrays)) or UNSET,
            detector_specific=specific,
        ),
        payload=tuple(payload for _, payload in arrays),
        frames_expected=frames_expected(config) if known else message.get("number_of_images"),
    )


def _config(message: Mapping[str, Any]) -> dict[str, Any]:
    """The message as the configuration of the detector would say it."""
    config = {key: message[key] for key in _SAME if key in message}
    config |= {theirs: message[ours] for ours, theirs in _NAMES.items() if ours in message}
    for channel, energy in _mapping(message, "threshold_energy").items():
        config[f"threshold/{channel.removeprefix('threshold_')}/energy"] = energy
    for channel in _channels(message):
        config[f"threshold/{channel.removeprefix('threshold_')}/mode"] = "enabled"
    for axis in _mapping(message, "goniometer"):
        config |= {f"{axis}_{key}": angle for key, angle in _mapping(message["goniometer"], axis).items()}
    if bits := _BITS.get(message.get("image_dtype", "")):
        config["bit_depth_image"] = bits
    return config


def _channels(message: Mapping[str, Any]) -> tuple[str, ...]:
    channels = message.get("channels", ["threshold_1"])
    if not isinstance(channels, list) or not all(isinstance(name, str) for name in channels):
        raise BackendError(f"stream v2: start: channels: got {channels!r}, expected a list of names")
    return tuple(channels)


def _mapping(message: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = message.get(key, {})
    if not isinstance(found, dict):
        raise BackendError(f"stream v2: start: {key}: got {type(found).__name__}, expected a map")
    return found


def _arrays(message: Mapping[str, Any], channels: tuple[str, ...]) -> tuple[list[tuple[Part, Payload]], dict[str, str]]:
    """Pixel masks, flat fields and the count-rate table; and why one of them is left out, where it is."""
    found, left_out = [], {}
    for name, array in _announced(message, channels):
        try:
            found.append(array_part(f"stream v2: start: {name}", name, array))
        except BackendError as error:
            left_out[name] = f"left out: {error}"
    return found, left_out


def _announced(message: Mapping[str, Any], channels: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for kind in ("pixel_mask", "flatfield"):
        for channel, array in _mapping(message, kind).items():
            if channel in channels:
                yield (f"{kind}.{channel}" if len(channels) > 1 else kind), array
    table = message.get(_TABLE)
    if table is not None:
        yield "countrate_correction_table", _as_list(table)


def _as_list(table: Any) -> Any:
    """A list of numbers has no sides of its own: it has one, its length."""
    if not isinstance(table, TypedArray) or table.shape or not isinstance(table.data, memoryview):
        return table
    return msgspec.structs.replace(table, shape=(len(table.data) // int(table.dtype[2:]),))
