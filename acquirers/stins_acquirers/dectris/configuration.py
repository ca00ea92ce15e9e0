"""The detector's configuration as it was read, and read again wherever something may have changed."""

import logging
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from ..backend import BackendError
from .keys import SETTINGS, Wish
from .parameter import Parameter
from .simplon import Simplon, SimplonError

__all__ = ["Configuration"]

log = logging.getLogger(__name__)

#: Pixels: megabytes each, and they come with the stream.
_ARRAYS = re.compile(r"(?:.*/)?(?:flatfield|pixel_mask)")
#: What is looked for where the DCU cannot list its keys.
_KNOWN = (
    "auto_summation", "beam_center_x", "beam_center_y", "bit_depth_image", "bit_depth_readout", "compression",
    "count_time", "counting_mode", "countrate_correction_applied", "countrate_correction_count_cutoff", "description",
    "detector_distance", "detector_number", "detector_readout_time", "eiger_fw_version",
    "flatfield_correction_applied", "frame_time", "nimages", "ntrigger", "number_of_excluded_pixels",
    "photon_energy", "pixel_mask_applied", "roi_mode", "sensor_material", "sensor_thickness", "software_version",
    "threshold_energy", "trigger_mode", "virtual_pixel_correction_applied", "x_pixel_size", "x_pixels_in_detector",
    "y_pixel_size", "y_pixels_in_detector",
)  # fmt: skip
#: What the detector derives from its settings, and what a series is made with.
_DERIVED = (
    "bit_depth_image", "bit_depth_readout", "countrate_correction_count_cutoff", "detector_readout_time",
    "frame_count_time", "incident_energy", "nimages", "ntrigger", "number_of_excluded_pixels", "photon_energy",
    "threshold_energy", "trigger_mode", "wavelength", "x_pixels_in_detector", "y_pixels_in_detector",
)  # fmt: skip


class Configuration:
    """What stands under the keys of `detector/config`. It raises what `Simplon` raises."""

    def __init__(self, simplon: Simplon) -> None:
        self._simplon = simplon
        self._found: dict[str, Parameter] = {}

    def load(self, step: str) -> None:
        """Reads everything that is no array."""
        listed = self._simplon.keys(step)
        found = {}
        for key in sorted(listed) if listed is not None else _KNOWN:
            if not _ARRAYS.fullmatch(key) and (parameter := self._simplon.find(step, key)) is not None:
                found[key] = parameter
        self._found = found

    def reload(self, step: str, keys: Iterable[str]) -> None:
        """Reads again what may have changed with the settings, by whomever, and these keys."""
        self._read_again(step, {*_DERIVED, *keys, *(name for key in SETTINGS for name in key.keys)})

    @property
    def values(self) -> dict[str, Any]:
        """All values, by SIMPLON's names."""
        return {key: parameter.value for key, parameter in self._found.items()}

    def get(self, key: str) -> Parameter | None:
        """What was read of a key; None where the detector has none of that name."""
        return self._found.get(key)

    def number(self, key: str, default: float) -> float:
        """The value of a key that holds a number; `default` where there is none."""
        parameter = self._found.get(key)
        found = parameter.value if parameter is not None else None
        return found if isinstance(found, int | float) else default

    def apply(self, step: str, wanted: Iterable[Wish]) -> tuple[str, ...]:
        """Sets the keys that don't have their value yet, and names all of them.

        What was set is put back where one of them is refused.
        """
        done: list[tuple[str, Any]] = []
        try:
            return tuple([self._grant(step, wish, done) for wish in wanted])
        except BackendError:
            self._put_back(step, done)
            raise

    def _grant(self, step: str, wish: Wish, done: list[tuple[str, Any]]) -> str:
        key = next((key for key in wish.keys if key in self._found), None)
        if key is None:
            raise BackendError(f"{wish.setting}: got {wish.value!r}, but {self._lacks(wish)}")
        self._read_again(step, [key])
        parameter = self._found[key]
        if parameter.is_set_to(wish.value):
            return key
        value = parameter.wire(wish.setting, wish.value)
        # Noted before: a refused value may have changed others.
        done.append((key, parameter.value))
        self.set(step, key, value)
        if not self._found[key].is_set_to(value):
            log.warning("%s: asked for %r, the detector took %r", wish.setting, value, self._found[key].value)
        return key

    def _lacks(self, wish: Wish) -> str:
        name = wish.keys[0]
        if not wish.setting.startswith("more."):
            return f"this detector has no {name}; set it to null"
        alike = get_close_matches(name, self._found)
        return f"this detector has no {name}; take it out of `more`" + (f", or is it {alike[0]}?" if alike else "")

    def set(self, step: str, key: str, value: Any) -> None:
        """Sets one key, and reads again all that changed with it."""
        parameter = self._found[key]
        changed = self._simplon.put(step, key, value, expected=parameter.expected)
        self._read_again(step, {key, *changed})

    def _read_again(self, step: str, keys: Iterable[str]) -> None:
        for key in keys:
            if key in self._found:
                self._found[key] = self._simplon.get(step, key)

    def _put_back(self, step: str, done: list[tuple[str, Any]]) -> None:
        for key, value in reversed(done):
            try:
                self.set(step, key, value)
            except SimplonError as error:
                log.warning("%s could not be put back to %r: %s", key, value, error)
