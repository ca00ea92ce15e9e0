"""Diffraction frames: powder rings and spots around the beam, with Poisson noise, the same for the same seed."""

from math import asin, sqrt, tan
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["Scene", "flatfield", "make_frames", "pixel_mask", "ring_radii"]

#: Lattice constant of LaB6 (NIST SRM 660c), and which h2+k2+l2 of its cubic cell give a ring.
_LATTICE_M = 4.15683e-10
_REFLECTIONS = (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 16)
_HC_EV_M = 1.23984198e-6
_PIXELS_PER_SPOT = 10_000
#: Mean of the square of a random number between 0 and 1.
_MEAN_FLASH = 1 / 3
_BEAMSTOP_PX = 12.0
_RING_WIDTH_PX = 2.0


#: A small bright patch: where it lies, and its intensities.
Spot: TypeAlias = tuple[tuple[slice, slice], NDArray[np.float32]]


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the pixels depend on. Lengths in m, energy in eV, beam centre in pixels."""

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


def make_frames(scene: Scene) -> list[NDArray[np.generic]]:
    """`scene.pool` frames of shape [modules, rows, columns]; values that the dtype can't hold are cut off."""
    random = np.random.Generator(np.random.SFC64(scene.seed))
    radius = _radius(scene)
    powder = _background(radius)
    for at in ring_radii(scene):
        powder += _ring(radius, at)
    powder[radius < _BEAMSTOP_PX] = 0.0
    spots = [_spot(scene, random) for _ in range(1 + powder.size // _PIXELS_PER_SPOT)]
    total = float(powder.sum()) + _MEAN_FLASH * sum(float(patch.sum()) for _, patch in spots)
    scale = np.float32(scene.photons * powder.size / total)
    powder *= scale
    spots = [(place, patch * scale) for place, patch in spots]
    return [_frame(scene, powder, spots, random) for _ in range(scene.pool)]


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


def _radius(scene: Scene) -> NDArray[np.float32]:
    rows, columns = scene.shape
    y = np.arange(rows, dtype=np.float32)[:, None] - np.float32(scene.center_y)
    x = np.arange(columns, dtype=np.float32)[None, :] - np.float32(scene.center_x)
    return np.asarray(np.hypot(y, x), np.float32)


def _background(radius: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(0.3 + np.exp(radius * np.float32(-0.01)), np.float32)


def _ring(radius: NDArray[np.float32], at: float) -> NDArray[np.float32]:
    return np.asarray(4 * np.exp(-0.5 * ((radius - at) / _RING_WIDTH_PX) ** 2), np.float32)


def _spot(scene: Scene, random: np.random.Generator) -> Spot:
    row, column = (int(random.integers(side)) for side in scene.shape)
    place = slice(max(0, row - 4), row + 5), slice(max(0, column - 4), column + 5)
    rows, columns = (np.arange(scene.shape[axis])[place[axis]] for axis in (0, 1))
    square = (rows[:, None] - row) ** 2 + (columns[None, :] - column) ** 2
    return place, np.asarray(120 * np.exp(-square / 3.0), np.float32)


def _frame(
    scene: Scene, powder: NDArray[np.float32], spots: list[Spot], random: np.random.Generator
) -> NDArray[np.generic]:
    expected = powder.copy()
    for place, patch in spots:
        # Spots flash up and vanish from frame to frame, as a crystal's do while it turns.
        expected[place] += patch * np.float32(random.random() ** 2)
    counts = random.poisson(expected, (scene.modules, *scene.shape))
    if scene.dtype.startswith("float"):
        return counts.astype(scene.dtype)
    limits = np.iinfo(scene.dtype)
    return counts.clip(0, min(limits.max, np.iinfo(np.int64).max)).astype(scene.dtype)
