"""HDF5 datasets of frames: one chunk a part, stored as it came."""

from typing import Any

import h5py
import hdf5plugin  # noqa: F401  # registers the filters that stored chunks name
import numpy as np

from .layout import DatasetLayout

__all__ = ["create_dataset"]


def create_dataset(group: h5py.Group, layout: DatasetLayout) -> Any:
    """The low-level handle: the high-level one looks everything up again at each call (434 against 18 us a frame)."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((1, *layout.chunks))
    dtype = np.dtype(layout.dtype)
    properties.set_fill_value(np.array(_fill_value(dtype), dtype))
    if layout.filter is not None:
        # Options of bitshuffle: block size chosen by the library (0), LZ4 (2); plain LZ4 takes a block size (0).
        properties.set_filter(layout.filter, h5py.h5z.FLAG_OPTIONAL, (0, 2) if layout.filter == 32008 else (0,))
    unlimited = (h5py.h5s.UNLIMITED, *layout.shape)
    space = h5py.h5s.create_simple((0, *layout.shape), unlimited)
    name = layout.name.encode()
    handle = h5py.h5d.create(group.id, name, h5py.h5t.py_create(dtype, logical=True), space, properties)
    h5py.Dataset(handle).attrs["units"] = "counts"
    return handle


def _fill_value(dtype: "np.dtype[Any]") -> Any:
    """What a missing frame reads as: the largest unsigned number (as vendors mark invalid pixels), -1, NaN."""
    return {"u": np.iinfo(dtype).max if dtype.kind == "u" else 0, "i": -1, "f": np.nan}[dtype.kind]
