"""The datasets of frames in an open file: one chunk a part, stored as it came."""

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

from stins.messages import Payload

from ..errors import RecorderError
from ..layout import DatasetLayout, FrameWriterLayout
from .driver import place

__all__ = ["FrameDatasets", "create_dataset", "create_datasets", "fill_value"]

#: HDF5 numbers the chunks of such a dataset with 32 bits.
_MOST_CHUNKS = 2**32 - 1
_ALL_FILTERS = 0xFFFFFFFF


def fill_value(dtype: "np.dtype[Any]") -> Any:
    """What a missing frame reads as: the largest unsigned number (as vendors mark invalid pixels), -1, NaN."""
    return {"u": np.iinfo(dtype).max if dtype.kind == "u" else 0, "i": -1, "f": np.nan}[dtype.kind]


def create_datasets(group: h5py.Group, layout: FrameWriterLayout, names: Sequence[Sequence[str]]) -> None:
    """The datasets of a layout, empty; `names` are those of each one's parts."""
    for dataset, parts in zip(layout.datasets, names, strict=True):
        create_dataset(group, dataset, early=layout.fixed).attrs.update({"units": "counts", "part_names": list(parts)})


def create_dataset(group: h5py.Group, layout: DatasetLayout, *, early: bool = False) -> h5py.Dataset:
    """An empty dataset that grows along the frame axis.

    `early`: chunks get their place in the file when it is extended, and nothing is written there.
    """
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((1, *layout.chunks))
    dtype = np.dtype(layout.dtype)
    properties.set_fill_value(np.array(fill_value(dtype), dtype))
    if early:
        properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    if layout.filter is not None:
        # Options of bitshuffle: block size chosen by the library (0), LZ4 (2); plain LZ4 takes a block size (0).
        properties.set_filter(layout.filter, h5py.h5z.FLAG_OPTIONAL, (0, 2) if layout.filter == 32008 else (0,))
    space = h5py.h5s.create_simple((0, *layout.shape), (h5py.h5s.UNLIMITED, *layout.shape))
    kind = h5py.h5t.py_create(dtype, logical=True)
    return h5py.Dataset(h5py.h5d.create(group.id, layout.name.encode(), kind, space, properties))


class FrameDatasets:
    """The datasets of an open file; `extent` is how many rows they have, written or not.

    Low-level handles: the high-level ones look everything up again at each call (434 against 18 us a frame).
    """

    def __init__(self, file: h5py.File, group: str, layout: FrameWriterLayout) -> None:
        self.file = file
        self.layout = layout
        self.handles = [file[f"{group}/{dataset.name}"].id for dataset in layout.datasets]
        self.extent: int = min(handle.shape[0] for handle in self.handles)

    def extend(self, rows: int) -> None:
        """Makes them so many rows long at least; others see it after a flush.

        Raises:
            RecorderError: more than a file can have.
        """
        if rows > (most := _MOST_CHUNKS // self.layout.chunks_a_frame):
            raise RecorderError(f"got {rows} rows, expected at most {most} in one file")
        for handle, layout in zip(self.handles, self.layout.datasets, strict=True):
            if handle.shape[0] < rows:
                handle.set_extent((rows, *layout.shape))
        self.extent = rows

    def write(self, row: int, contents: Sequence[Payload]) -> None:
        """Stores the parts of a frame as they are."""
        for part, content in enumerate(contents):
            self.write_part(row, part, content)

    def write_part(self, row: int, part: int, content: Payload) -> None:
        """Stores one of them."""
        layout = self.layout
        self.handles[layout.targets[part]].write_direct_chunk((row, *layout.offsets[part]), content)

    def place_part(self, row: int, part: int, content: Payload) -> int | None:
        """Gives it its place in the file, for the caller to write it; None: it is written."""
        layout = self.layout
        return place(self.handles[layout.targets[part]], (row, *layout.offsets[part]), content)

    def blank(self, row: int) -> None:
        """Fills a row with the fill value, uncompressed: what stood there is gone."""
        for handle, layout in zip(self.handles, self.layout.datasets, strict=True):
            dtype = np.dtype(layout.dtype)
            content = np.full(layout.chunks, fill_value(dtype), dtype).tobytes()
            for offset in np.ndindex(
                *(-(-side // chunk) for side, chunk in zip(layout.shape, layout.chunks, strict=True))
            ):
                place = (row, *(index * chunk for index, chunk in zip(offset, layout.chunks, strict=True)))
                handle.write_direct_chunk(place, content, _ALL_FILTERS if layout.filter else 0)
