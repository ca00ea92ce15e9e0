"""From the configuration to a series: which channels, which bit depth, which pixels, which arrays."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...simulated.images import Scene
from .arrays import Arrays
from .keys import Value
from .models import Family
from .options import EigerOptions
from .pixels import Look
from .pool import Pool, make_pool

__all__ = ["Armory", "channels", "region"]

_GAP = 1
_DISTANCE_M = 0.1
#: Memory for pixels while they are computed: 3 images of 18 million uint32.
_POOL_BYTES = 256 << 20


def region(config: Mapping[str, Value]) -> tuple[int, int]:
    """Rows and columns that are read out."""
    return config["y_pixels_in_detector"], config["x_pixels_in_detector"]


def channels(config: Mapping[str, Value], family: Family) -> tuple[str, ...]:
    """The channels that an image has; at least one threshold, for a detector counts even with all disabled."""
    enabled = [
        f"threshold_{number}"
        for number in range(1, family.thresholds + 1)
        if config.get(f"threshold/{number}/mode", "enabled") == "enabled"
    ]
    if config.get("threshold/difference/mode") == "enabled":
        enabled.append("difference")
    return tuple(enabled) or ("threshold_1",)


class Armory:
    """Makes the images of a series, and keeps those of the last one: they are the same for the same settings."""

    def __init__(self, options: EigerOptions, family: Family, arrays: Arrays) -> None:
        self._options = options
        self._family = family
        self._arrays = arrays
        self._last: tuple[object, Pool] | None = None

    def pool(self, config: Mapping[str, Value], *, dark: bool) -> Pool:
        """The images that the detector will take with this configuration; `dark`: it counts nothing."""
        look = self._look(config, dark=dark)
        applied, to_zero = config["pixel_mask_applied"], config.get("mask_to_zero", False)
        wanted = (look, config["compression"], applied, to_zero, self._arrays.version)
        if self._last is None or self._last[0] != wanted:
            self._last = (wanted, make_pool(look, config["compression"], self._masked(config, look.channels)))
        return self._last[1]

    def masks(self, config: Mapping[str, Value], names: tuple[str, ...]) -> dict[str, NDArray[np.uint32]]:
        """The pixel mask of each channel."""
        return {name: self._arrays.get(f"pixel_mask/{_threshold(name)}", region(config)) for name in names}

    def flatfields(self, config: Mapping[str, Value], names: tuple[str, ...]) -> dict[str, NDArray[np.float32]]:
        """The flat field of each channel."""
        return {name: self._arrays.get(f"flatfield/{_threshold(name)}", region(config)) for name in names}

    def _masked(self, config: Mapping[str, Value], names: tuple[str, ...]) -> dict[str, NDArray[np.bool_]]:
        """A gap has no pixel: it is flagged even where the mask is not applied."""
        bits = ~np.uint32(0) if config["pixel_mask_applied"] else np.uint32(_GAP)
        return {name: (mask & bits) != 0 for name, mask in self.masks(config, names).items()}

    def _look(self, config: Mapping[str, Value], *, dark: bool) -> Look:
        options, shape, depth = self._options, region(config), config["bit_depth_image"]
        energy = config["photon_energy"]
        scene = Scene(
            shape=shape,
            modules=1,
            dtype=f"uint{depth}",
            photons=options.photons,
            pool=max(1, min(options.pool, _POOL_BYTES // (shape[0] * shape[1] * depth // 8))),
            seed=options.seed,
            incident_energy=energy,
            distance=config["detector_distance"] or _DISTANCE_M,
            pixel_size=self._family.pixel_size,
            center_x=config["beam_center_x"] or (shape[1] - 1) / 2,
            center_y=config["beam_center_y"] or (shape[0] - 1) / 2,
        )
        numbers = range(1, self._family.thresholds + 1)
        thresholds = [config.get(f"threshold/{number}/energy", config["threshold_energy"]) for number in numbers]
        test = config.get("test_image_mode") == "value"
        most = (1 << depth) - 1
        return Look(
            scene=scene,
            channels=channels(config, self._family),
            keep=tuple(min(1.0, max(0.0, 1.5 - threshold / energy)) for threshold in thresholds),
            difference=(
                config.get("threshold/difference/lower_threshold", 1),
                config.get("threshold/difference/upper_threshold", 1),
            ),
            flagged=0 if config.get("mask_to_zero") else most,
            constant=0 if dark else min(config["test_image_value"], most) if test else None,
        )


def _threshold(channel: str) -> int:
    """The number of a channel's arrays: the difference uses those of the first threshold."""
    return int(channel.removeprefix("threshold_")) if channel != "difference" else 1
