"""Which setting stands under which key of SIMPLON, and in which order they are set."""

from collections.abc import Mapping
from typing import Any

import msgspec

from .settings import EigerSettings

__all__ = ["SETTINGS", "Wish", "read_back", "wishes"]


class _Key(msgspec.Struct, frozen=True):
    """The keys that a setting may stand under, the newest first; `words`: the detector says yes and no in words."""

    setting: str
    keys: tuple[str, ...]
    words: bool = False


class Wish(msgspec.Struct, frozen=True):
    """A key that is to have a value; `setting` is what the user calls it."""

    setting: str
    keys: tuple[str, ...]
    value: Any


def _key(setting: str, *keys: str) -> _Key:
    return _Key(setting, keys or (setting,))


def _threshold(number: int) -> tuple[_Key, _Key]:
    # An EIGER 1 has one threshold, whose energy has a name of its own.
    old = ("threshold_energy",) if number == 1 else ()
    energy = _Key(f"threshold_{number}_energy", (f"threshold/{number}/energy", *old))
    return _Key(f"threshold_{number}_enabled", (f"threshold/{number}/mode",), words=True), energy


#: In the order in which they are set: the region resets the times, the energy the thresholds, the exposure the period.
SETTINGS: tuple[_Key, ...] = (
    _key("roi_mode"),
    _key("roi_y_size"),
    _key("roi_bit_depth"),
    _key("incident_energy", "incident_energy", "photon_energy"),
    *(key for number in (1, 2, 3, 4) for key in _threshold(number)),
    _key("difference_lower", "threshold/difference/lower_threshold"),
    _key("difference_upper", "threshold/difference/upper_threshold"),
    _Key("difference_enabled", ("threshold/difference/mode",), words=True),
    _key("counting_mode"),
    _key("auto_summation"),
    _key("extg_mode"),
    _key("exposures_per_image", "nexpi"),
    _key("countrate_correction", "countrate_correction_applied"),
    _key("flatfield_correction", "flatfield_correction_applied"),
    _key("pixel_mask", "pixel_mask_applied"),
    _key("mask_to_zero"),
    _key("virtual_pixel_correction", "virtual_pixel_correction_applied"),
    _key("compression"),
    _key("trigger_start_delay_s", "trigger_start_delay"),
    _key("beam_center_x"),
    _key("beam_center_y"),
    _key("distance", "detector_distance"),
    _key("exposure_s", "count_time"),
    # Set apart: 0 asks for what only the detector knows.
    _key("period_s", "frame_time"),
)
_WORDS = {True: "enabled", False: "disabled"}


def wishes(settings: EigerSettings) -> list[Wish]:
    """What the detector is to be set to, in order; the period aside, where it is to be the shortest."""
    more = [Wish(f"more.{key}", (key,), value) for key, value in settings.more.items()]
    found = []
    for key in SETTINGS:
        value = getattr(settings, key.setting)
        if value is not None and not (key.setting == "period_s" and value == 0):
            found.append(Wish(key.setting, key.keys, _WORDS[value] if key.words else value))
    return more + found


def read_back(settings: EigerSettings, config: Mapping[str, Any]) -> EigerSettings:
    """The settings as the detector has them; what it doesn't have stays as it was asked for."""
    found: dict[str, Any] = {}
    for key in SETTINGS:
        value = next((config[name] for name in key.keys if name in config), None)
        if value is not None:
            found[key.setting] = value == "enabled" if key.words else value
    # A detector that was not told its distance says 0.
    found["distance"] = found.get("distance") or settings.distance
    more = {key: config.get(key, value) for key, value in settings.more.items()}
    return settings.model_copy(update={**found, "more": more})
