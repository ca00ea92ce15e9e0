"""The pixels of a part. Off the hot path: the recorder itself stores chunks as they come."""

from functools import lru_cache
from typing import Any

import h5py
import numpy as np
from msgspec import UNSET

from stins import Part
from stins.messages import Payload

from ..layout import DatasetLayout, frame_layout
from ..storage.datasets import create_dataset
from .cbf import CBF, cbf_pixels

__all__ = ["pixels"]


def pixels(part: Part, content: Payload) -> "np.ndarray[Any, Any]":
    """The part as an array of its shape.

    The decoder is HDF5's own filter, run on a file in memory: what it gives is what every reader of the file gets.
    Of a CBF file the pixels are stored, so they are unpacked here as there.

    Raises:
        RecorderError: a kind of part that cannot be recorded either, or a damaged CBF file.
        OSError: the filter cannot decode the bytes.
    """
    if part.compression == CBF:
        return cbf_pixels(part, content)
    layout = _layout(part)
    if layout.filter is None:
        return np.frombuffer(content, layout.dtype).reshape(part.shape)
    with h5py.File.in_memory() as file:
        handle = create_dataset(file, layout).id
        handle.set_extent((1, *layout.shape))
        handle.write_direct_chunk((0,) * (1 + len(layout.shape)), content)
        image: np.ndarray[Any, Any] = h5py.Dataset(handle)[0]
        return image


@lru_cache(maxsize=16)
def _layout(part: Part) -> DatasetLayout:
    """Made once of parts that are alike, as those of most frames are."""
    (layout,) = frame_layout([part], UNSET).datasets
    return layout
