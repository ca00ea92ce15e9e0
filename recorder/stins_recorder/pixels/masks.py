"""The pixel masks of a series, on their way from its start to the preview: which pixels of a frame count."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stins import OpenSeries, Packet, Part, SeriesStart
from stins.messages import is_series_array, series_array

from .decompress import pixels

__all__ = ["MASKS", "Counted", "counted", "counted_pixels", "masks_of"]

#: Which pixels count, by channel; the empty name is for all that have no mask of their own.
Counted = Mapping[str, "np.ndarray[Any, np.dtype[np.bool_]]"]
_MASK = "pixel_mask"
#: How the first part of a message with masks begins: JSON of (row, series), and they have no row.
MASKS = b"[null,"


def masks_of(opening: OpenSeries) -> Packet:
    """A series-start with the masks of that one and nothing else; the other arrays are not kept alive."""
    announced = opening.start.data or ()
    arrays = [part for part in announced if is_series_array(part.name)]
    found = [
        (part, content)
        for part, content in zip(arrays, opening.payload, strict=True)
        if series_array(part.name)[0] == _MASK
    ]
    header = SeriesStart(version=1, message_id=0, data=tuple(part for part, _ in found))
    return Packet(header, tuple(content for _, content in found))


def counted(masks: Packet) -> Counted:
    """What each of these masks leaves.

    Raises:
        RecorderError, OSError: a mask cannot be decoded.
    """
    assert isinstance(masks.header, SeriesStart)  # noqa: S101  # `masks_of` made it
    parts = zip(masks.header.data or (), masks.payload, strict=True)
    return {series_array(part.name)[1]: pixels(part, content) == 0 for part, content in parts}


def counted_pixels(part: Part, image: "np.ndarray[Any, Any]", masks: Counted) -> "np.ndarray[Any, Any]":
    """The pixels of a frame's part that count: all of them where no mask is, or it is that of another shape.

    A mask is of a whole image: it says nothing of one of several parts in its place, or of a region.
    """
    mask = masks.get(part.name, masks.get(""))
    fits = mask is not None and mask.shape == image.shape and not part.offset
    return image[mask] if fits else image
