"""Spots that come and go as a crystal's do while it turns."""

import numpy as np
from stins_acquirers.simulated.images import Scene, make_frames

SCENE = {
    "shape": (64, 64),
    "modules": 1,
    "dtype": "uint16",
    "photons": 10.0,
    "pool": 40,
    "seed": 3,
    "incident_energy": 12_400.0,
    "distance": 0.05,
    "pixel_size": 75e-6,
    "center_x": 31.5,
    "center_y": 31.5,
}


def brightest(**changes: object) -> np.ndarray:
    """How bright the brightest pixel of all is in each frame."""
    frames = np.stack(make_frames(Scene(**{**SCENE, **changes})))[:, 0].astype(int)
    _, row, column = np.unravel_index(frames.argmax(), frames.shape)
    return frames[:, row, column]


def test_a_spot_comes_and_goes_once_in_the_pool_over_as_many_frames_as_were_asked_for():
    curve = brightest(rocking=8.0)
    background = np.median(curve)
    above = np.flatnonzero(np.roll(curve, 20 - int(curve.argmax())) > background + (curve.max() - background) / 2)
    assert list(above) == list(range(above[0], above[-1] + 1))
    assert 6 <= len(above) <= 10


def test_without_it_a_spot_flashes_at_random():
    assert np.count_nonzero(np.diff(np.sign(np.diff(brightest())))) > 15
