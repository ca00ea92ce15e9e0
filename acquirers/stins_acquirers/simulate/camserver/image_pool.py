"""Images computed ahead: a series cycles through them."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from ...simulated.images import Scene, make_frames
from .image_file import Packed, pack
from .models import GAP, MODULE
from .options import PilatusOptions

__all__ = ["ImagePool"]

_PIXEL_M = 172e-6
_ENERGY_EV = 12_400.0
_DISTANCE_M = 0.2


class ImagePool:
    """Rings and spots on modules with gaps between them; image n of a series is always image n of the pool, cycled."""

    def __init__(self, options: PilatusOptions, shape: tuple[int, int]) -> None:
        self._images = [frame[0] for frame in make_frames(_scene(options, shape))]
        self._gaps = _gaps(shape)
        self.packed = cache(self._packed)

    def pixels(self, number: int, gap_fill: int) -> NDArray[np.int32]:
        """The image, [rows, columns]; `gap_fill` is what stands between modules."""
        image: NDArray[np.int32] = self._images[number % len(self._images)].astype(np.int32)
        image[self._gaps] = gap_fill
        return image

    def of_series(self, number: int, gap_fill: int) -> Packed:
        """The same, packed; it is packed once."""
        return self.packed(number % len(self._images), gap_fill)

    def _packed(self, index: int, gap_fill: int) -> Packed:
        return pack(self.pixels(index, gap_fill))


def _scene(options: PilatusOptions, shape: tuple[int, int]) -> Scene:
    return Scene(
        shape=shape,
        modules=1,
        dtype="int32",
        photons=options.photons,
        pool=options.pool,
        seed=options.seed,
        incident_energy=_ENERGY_EV,
        distance=_DISTANCE_M,
        pixel_size=_PIXEL_M,
        center_x=(shape[1] - 1) / 2,
        center_y=(shape[0] - 1) / 2,
    )


def _gaps(shape: tuple[int, int]) -> NDArray[np.bool_]:
    rows, columns = (
        np.arange(side) % (module + gap) >= module for side, module, gap in zip(shape, MODULE, GAP, strict=True)
    )
    return rows[:, None] | columns[None, :]
