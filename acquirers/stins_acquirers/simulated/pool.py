"""The frames of a simulation, ready to be sent: computed and compressed once, then only handed out."""

import io

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from stins.messages import FrameLayout, Part, Payload

from ..compress import bslz4_chunk
from .images import Scene, make_frames

__all__ = ["Pool", "frame_layout", "frame_parts", "make_pool"]


class Pool(msgspec.Struct, frozen=True):
    """`frames[i]` as pixels, `payloads[i]` as what is sent of them, `totals[i]` their counts."""

    frames: tuple[NDArray[np.generic], ...]
    payloads: tuple[tuple[Payload, ...], ...]
    totals: tuple[float, ...]

    def npy(self, number: int) -> bytes:
        """The frame of that number as an .npy file; one module has no axis for modules."""
        frame = self.frames[number % len(self.frames)]
        out = io.BytesIO()
        np.save(out, frame[0] if len(frame) == 1 else frame)
        return out.getvalue()


def make_pool(scene: Scene, compression: str) -> Pool:
    """Computes the frames and what is sent of them."""
    frames = tuple(make_frames(scene))
    payloads = tuple(tuple(_payload(module, compression) for module in frame) for frame in frames)
    return Pool(frames, payloads, tuple(float(frame.sum()) for frame in frames))


def frame_parts(scene: Scene, compression: str) -> tuple[Part, ...]:
    """How the parts of each frame are described."""
    if scene.modules == 1:
        return (Part(name="image", shape=scene.shape, dtype=scene.dtype, compression=compression),)
    return tuple(
        Part(
            name=f"module_{module + 1}",
            shape=(1, *scene.shape),
            dtype=scene.dtype,
            compression=compression,
            offset=(module, 0, 0),
        )
        for module in range(scene.modules)
    )


def frame_layout(scene: Scene) -> FrameLayout | UnsetType:
    """The whole frame, where it comes in several parts."""
    if scene.modules == 1:
        return UNSET
    return FrameLayout(shape=(scene.modules, *scene.shape), chunks=(1, *scene.shape))


def _payload(module: NDArray[np.generic], compression: str) -> Payload:
    return bslz4_chunk(module) if compression == "bslz4" else module.data.cast("B")
