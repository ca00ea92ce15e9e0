"""The frames that are measured: their shapes, their pixels, and how many make a series."""

from dataclasses import dataclass
from functools import cache
from math import prod

import h5py
import hdf5plugin
import numpy as np

from stins import Part

__all__ = ["CASES", "Case"]

_DIFFERENT = 4  # images that are sent in turn


@dataclass(frozen=True)
class Case:
    """One kind of frame."""

    name: str
    shape: tuple[int, int]
    dtype: str
    compression: str
    photons: float  # a pixel's mean: it decides how well a frame compresses
    target_ratio: float  # of the minimal receiver's rate; what issue and README promise

    @property
    def part(self) -> Part:
        """The frame's one part."""
        return Part(name="image", shape=self.shape, dtype=self.dtype, compression=self.compression)

    @property
    def pixel_bytes(self) -> int:
        """A frame's pixels before compression, in bytes."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def frame_bytes(self) -> int:
        """A frame as it travels, in bytes (compressed ones: the mean)."""
        return sum(map(len, self.payloads)) // _DIFFERENT

    @property
    def payloads(self) -> tuple[bytes, ...]:
        """The images that are sent in turn."""
        return _payloads(self)

    def frames(self, size: int) -> int:
        """How many fill `size` bytes: not so few that a series is over at once."""
        return max(24, min(30_000, size // self.frame_bytes))


#: Named by their size as they travel, compressed or not.
CASES = {
    case.name: case
    for case in (
        Case("32KiB", (128, 128), "uint16", "none", 2.0, 0.75),
        Case("512KiB", (512, 512), "uint16", "none", 2.0, 0.9),
        Case("8MiB", (2048, 2048), "uint16", "none", 2.0, 0.9),
        Case("20MiB", (2560, 4096), "uint16", "none", 2.0, 0.9),
        Case("32KiB-bslz4", (354, 354), "uint16", "bslz4", 0.5, 0.5),
        Case("512KiB-bslz4", (1416, 1416), "uint16", "bslz4", 0.5, 0.7),
        Case("8MiB-bslz4", (5664, 5664), "uint16", "bslz4", 0.5, 0.7),
        Case("1Mpx-bslz4", (1024, 1024), "uint32", "bslz4", 0.5, 0.85),
    )
}


@cache
def _payloads(case: Case) -> tuple[bytes, ...]:
    generator = np.random.default_rng(1)
    images = [generator.poisson(case.photons, case.shape).astype(case.dtype) for _ in range(_DIFFERENT)]
    if case.compression == "none":
        return tuple(image.tobytes() for image in images)
    with h5py.File.in_memory() as file:
        dataset = file.create_dataset(
            "x", (_DIFFERENT, *case.shape), case.dtype, chunks=(1, *case.shape), **hdf5plugin.Bitshuffle(cname="lz4")
        )
        for index, image in enumerate(images):
            dataset[index] = image
        return tuple(dataset.id.read_direct_chunk((index, 0, 0))[1] for index in range(_DIFFERENT))
