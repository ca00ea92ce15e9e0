"""The pixels: which of them are gaps or bad, the flat field, the count-rate table, and images with all that in them."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...simulated.images import Scene, make_frames

__all__ = ["Look", "channel_images", "countrate_table", "default_flatfield", "default_mask"]

#: Bits of the pixel mask, as the vendor and NXdetector have them.
_GAP, _DEAD, _NOISY = 1, 2, 16
_BAD_PER_PIXEL = 2e-5
_MASK_SEED, _FLATFIELD_SEED = 11, 12
#: Dead time of the paralyzable counter that fits the table of a captured EIGER1 header: 1,125,000 in, 828,150 out.
_DEAD_TIME_S, _TABLE_STEP, _TABLE_ROWS = 2.725e-7, 1125.0, 4000


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the pixels of a series depend on, beside the masks.

    `keep` says for each threshold, from the first on, which part of the photons it counts; `difference` names the two
    whose difference is the channel of that name. `flagged` is what a masked pixel shows.
    """

    scene: Scene
    channels: tuple[str, ...]
    keep: tuple[float, ...]
    difference: tuple[int, int]
    flagged: int
    constant: int | None
    """The value of all pixels, where it is the same for all."""


def default_mask(shape: tuple[int, int], module: tuple[int, int], gap: tuple[int, int]) -> NDArray[np.uint32]:
    """Shape [rows, columns]: the gaps between modules, and some pixels that are dead or noisy."""
    random = np.random.Generator(np.random.SFC64(_MASK_SEED))
    drawn = random.random(shape, np.float32)
    mask = np.where(drawn < _BAD_PER_PIXEL, np.uint32(_DEAD), np.uint32(0))
    mask[drawn > 1 - _BAD_PER_PIXEL] = _NOISY
    mask[_in_gap(shape[0], module[0], gap[0]), :] = _GAP
    mask[:, _in_gap(shape[1], module[1], gap[1])] = _GAP
    return mask


def default_flatfield(shape: tuple[int, int]) -> NDArray[np.float32]:
    """Shape [rows, columns]: pixels differ by some per cent."""
    random = np.random.Generator(np.random.SFC64(_FLATFIELD_SEED))
    return np.asarray(1 + 0.03 * random.standard_normal(shape, np.float32), np.float32)


def countrate_table() -> NDArray[np.float32]:
    """Shape [4000, 2], counts per second: the true rate and the rate that is counted of it."""
    rates = _TABLE_STEP * np.arange(_TABLE_ROWS)
    return np.stack([rates, rates * np.exp(-rates * _DEAD_TIME_S)], axis=1).astype(np.float32)


def channel_images(look: Look, masks: Mapping[str, NDArray[np.bool_]]) -> list[list[NDArray[Any]]]:
    """The images of the pool, each as its channels of shape [rows, columns]; `masks` says where one is flagged."""
    random = np.random.Generator(np.random.SFC64(look.scene.seed + 1))
    images = []
    for (frame,) in _frames(look):
        counted = _thresholds(look, frame, random)
        found = {f"threshold_{number}": pixels for number, pixels in enumerate(counted, 1)}
        found["difference"] = _difference(look, counted)
        image = [found[channel].copy() for channel in look.channels]
        for channel, pixels in zip(look.channels, image, strict=True):
            pixels[masks[channel]] = look.flagged
        images.append(image)
    return images


def _in_gap(length: int, module: int, gap: int) -> NDArray[np.bool_]:
    return np.asarray(np.arange(length) % (module + gap) >= module, np.bool_)


def _frames(look: Look) -> list[NDArray[Any]]:
    scene = look.scene
    if look.constant is not None:
        return [np.full((1, *scene.shape), look.constant, scene.dtype) for _ in range(scene.pool)]
    return list(make_frames(scene))


def _thresholds(look: Look, frame: NDArray[Any], random: np.random.Generator) -> list[NDArray[Any]]:
    """What each threshold counts: a higher one counts some of the photons that the next lower one counted."""
    if look.constant is not None:
        return [frame] * len(look.keep)
    counted = [frame] * len(look.keep)
    below, kept = frame, 1.0
    for index in sorted(range(len(look.keep)), key=look.keep.__getitem__, reverse=True):
        keep = look.keep[index]
        if keep < kept:
            below, kept = _thinned(below, keep / kept, random), keep
        counted[index] = below
    return counted


def _thinned(pixels: NDArray[Any], part: float, random: np.random.Generator) -> NDArray[Any]:
    thinned, lit = np.zeros_like(pixels), np.flatnonzero(pixels)
    thinned.reshape(-1)[lit] = random.binomial(pixels.reshape(-1)[lit], part)
    return thinned


def _difference(look: Look, counted: Sequence[NDArray[Any]]) -> NDArray[Any]:
    lower, upper = (counted[min(number, len(counted)) - 1] for number in look.difference)
    difference: NDArray[Any] = lower - np.minimum(lower, upper)
    return difference
