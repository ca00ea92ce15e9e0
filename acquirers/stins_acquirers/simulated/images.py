"""Diffraction frames: powder rings and spots around the beam, with Poisson noise, the same for the same seed."""

from collections.abc import Iterator
from math import asin, log, sqrt, tan
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["Scene", "flatfield", "make_frames", "pixel_mask", "ring_radii"]

#: Lattice constant of LaB6 (NIST SRM 660c), and which h2+k2+l2 of its cubic cell give a ring.
_LATTICE_M = 4.15683e-10
_REFLECTIONS = (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 16)
_HC_EV_M = 1.23984198e-6
_PIXELS_PER_SPOT = 10_000
_BEAMSTOP_PX = 12.0
_RING_WIDTH_PX = 2.0
#: Bins of the radius: half a pixel wide. Beyond the last, 8192 pixels out, there is nothing but a flat background.
_BINS_PER_PX = 2
_MOST_BINS = 1 << 14
#: Counts drawn for each radius, of which each pixel there takes one. One Poisson draw per pixel and frame would take
#: 17 s for 8 frames of 18 million pixels.
_DRAWS = 1 << 9
#: Pixels worked on at once: what is in between stays in the processor's cache.
_BLOCK_PX = 1 << 16


class _Spots(msgspec.Struct, frozen=True):
    """The pixels that spots light up: where (flat, each once), which of them a spot's pixels are, and how bright."""

    at: NDArray[np.intp]
    which: NDArray[np.intp]
    means: NDArray[np.float64]


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the pixels depend on. Lengths in m, energy in eV, beam centre in pixels, rocking in frames."""

    shape: tuple[int, int]
    modules: int
    dtype: str
    photons: float
    pool: int
    seed: int
    incident_energy: float
    distance: float
    pixel_size: float
    center_x: float
    center_y: float
    rocking: float = 0.0


def make_frames(scene: Scene) -> list[NDArray[np.generic]]:
    """`scene.pool` frames of shape [modules, rows, columns]; values that the dtype can't hold are cut off."""
    random = np.random.Generator(np.random.SFC64(scene.seed))
    bins = _bins(scene)
    pixels = np.bincount(bins.ravel())
    powder, spots = _profile(scene, len(pixels)), _spots(scene, random)
    # With the square of a random number a spot has a third of its brightness on average.
    scale = scene.photons * bins.size / (float(pixels @ powder) + float(spots.means.sum()) / 3)
    counts = _held(scene, random.poisson(powder[:, None] * scale, (len(powder), _DRAWS)))
    frames = [np.empty((scene.modules, *scene.shape), scene.dtype) for _ in range(scene.pool)]
    images = [image.reshape(-1) for frame in frames for image in frame]
    _fill(images, bins.reshape(-1), counts.reshape(-1), random)
    brightness = _brightness(scene, len(spots.means), random)
    for frame, bright in zip(frames, brightness, strict=True):
        _flash(scene, frame, spots, scale * bright, random)
    return frames


def ring_radii(scene: Scene) -> list[float]:
    """Radii in pixels of the LaB6 rings that a flat detector sees (below 80 degrees)."""
    wavelength = _HC_EV_M / scene.incident_energy
    sines = [wavelength * sqrt(n) / (2 * _LATTICE_M) for n in _REFLECTIONS]
    return [tan(2 * asin(sine)) * scene.distance / scene.pixel_size for sine in sines if sine < 0.64]


def pixel_mask(scene: Scene) -> NDArray[np.uint32]:
    """Some dead pixels: bit 1 is set, as in NXdetector's pixel_mask."""
    random = np.random.Generator(np.random.SFC64(scene.seed + 1))
    return np.where(random.random(scene.shape, np.float32) < 1e-4, np.uint32(2), np.uint32(0))


def flatfield(scene: Scene) -> NDArray[np.float32]:
    """Pixels differ by some per cent."""
    random = np.random.Generator(np.random.SFC64(scene.seed + 2))
    return np.asarray(1 + 0.03 * random.standard_normal(scene.shape, np.float32), np.float32)


def _bins(scene: Scene) -> NDArray[np.uint16]:
    """Each pixel's distance from the beam, in bins."""
    bins = np.empty(scene.shape, np.uint16)
    x = np.square(np.arange(scene.shape[1]) - scene.center_x, dtype=np.float64)
    for row, line in enumerate(bins):
        radius = np.sqrt(x + (row - scene.center_y) ** 2)
        line[:] = np.minimum(radius * _BINS_PER_PX, _MOST_BINS - 1)
    return bins


def _profile(scene: Scene, bins: int) -> NDArray[np.float64]:
    """How bright the powder is at each radius, not scaled yet."""
    radius = (np.arange(bins) + 0.5) / _BINS_PER_PX
    powder = 0.3 + np.exp(-0.01 * radius)
    for at in ring_radii(scene):
        powder += 4 * np.exp(-0.5 * ((radius - at) / _RING_WIDTH_PX) ** 2)
    powder[radius < _BEAMSTOP_PX] = 0.0
    return powder


def _spots(scene: Scene, random: np.random.Generator) -> _Spots:
    """Small bright patches of 9 x 9 pixels at random places."""
    rows, columns = scene.shape
    number = 1 + rows * columns // _PIXELS_PER_SPOT
    near = np.arange(-4, 5)
    row = random.integers(rows, size=(number, 1, 1)) + near[:, None]
    column = random.integers(columns, size=(number, 1, 1)) + near
    means = 120 * np.exp(-(near[:, None] ** 2 + near**2) / 3.0)
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    means = np.where(inside, means, 0.0)
    flat = row.clip(0, rows - 1) * columns + column.clip(0, columns - 1)
    at, which = np.unique(flat, return_inverse=True)
    return _Spots(at, which.reshape(flat.shape), means)


def _fill(
    images: list[NDArray[np.generic]],
    bins: NDArray[np.uint16],
    counts: NDArray[np.generic],
    random: np.random.Generator,
) -> None:
    """Each pixel takes one of the counts that were drawn for its radius.

    Which one is drawn once for a block; for each image it is shifted by another length.
    """
    for start in range(0, bins.size, _BLOCK_PX):
        block = slice(start, start + _BLOCK_PX)
        first = bins[block].astype(np.intp) * _DRAWS
        lengths = max(first.size, 4096)
        drawn = random.integers(0, _DRAWS, first.size + lengths, np.intp)
        for image, shift in zip(images, random.integers(lengths, size=len(images)), strict=True):
            chosen = first + drawn[shift : shift + first.size]
            counts.take(chosen, out=image[block], mode="clip")  # without `mode`, numpy buffers `out`


def _brightness(scene: Scene, spots: int, random: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """How bright each spot is in each frame, 0 to 1: it comes and goes once in the pool, or flashes at random."""
    if not scene.rocking:
        for _ in range(scene.pool):
            yield random.random(spots) ** 2
        return
    turned = scene.pool * random.random(spots)
    for number in range(scene.pool):
        off = np.abs(number - turned)
        yield np.exp(-4 * log(2) * (np.minimum(off, scene.pool - off) / scene.rocking) ** 2)


def _flash(
    scene: Scene, frame: NDArray[Any], spots: _Spots, bright: NDArray[np.float64], random: np.random.Generator
) -> None:
    """Adds the light of the spots to a frame."""
    means = spots.means * bright[:, None, None]
    for image in frame.reshape(scene.modules, -1):
        light = np.bincount(spots.which.reshape(-1), random.poisson(means).reshape(-1), len(spots.at))
        image[spots.at] = _held(scene, light + image[spots.at])


def _held(scene: Scene, counts: NDArray[np.generic]) -> NDArray[np.generic]:
    """The counts as the dtype holds them."""
    if scene.dtype.startswith("float"):
        return counts.astype(scene.dtype)
    most = min(np.iinfo(scene.dtype).max, 1 << 53)  # 2^53: on the way they may be doubles
    return counts.clip(0, most).astype(scene.dtype)
