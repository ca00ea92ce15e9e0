"""How a detector's images are described."""

from typing import Any

import numpy as np

from stins import StinsError
from stins.control import FrameDescription

from .streams import StreamKey

__all__ = ["image_data_key", "image_keys"]


def image_data_key(source: str, frame: FrameDescription, frames_per_event: int) -> dict[str, Any]:
    """Describes one event's image: one frame as it is, several with an axis of their own in front."""
    lead = [frames_per_event] if frames_per_event > 1 else []
    try:
        dtype = np.dtype(frame.dtype)
    except TypeError:  # mono12p: the recorder has no type for packed pixels
        raise StinsError(f"{source}: got pixels of type {frame.dtype!r}, expected a type that HDF5 has") from None
    return {
        "source": source,
        "dtype": "array",
        "dtype_numpy": dtype.str,
        "shape": [*lead, *frame.shape],
        "external": "STREAM:",
    }


def image_keys(prefix: str, source: str, frame: FrameDescription, frames_per_event: int) -> list[StreamKey]:
    """The key of the image, `PREFIX_image`, and one, `PREFIX_CHANNEL`, for each further image that a frame has."""
    data_key = image_data_key(source, frame, frames_per_event)
    further = (StreamKey(f"{prefix}_{channel}", data_key, channel) for channel in frame.channels)
    return [StreamKey(f"{prefix}_image", data_key), *further]
