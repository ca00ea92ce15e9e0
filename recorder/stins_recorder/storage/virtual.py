"""Virtual datasets: frames that stand elsewhere, in another dataset or in other files, read as one dataset."""

from collections.abc import Iterable, Sequence

import h5py
import msgspec
import numpy as np

from stins import Spans

from ..layout import DatasetLayout
from .datasets import fill_value

__all__ = ["Piece", "create_virtual", "hide", "unhide"]

#: How a dataset is called of which rows are hidden.
_STORED = "_stored"
#: The attribute by which datasets of frames are known.
_MARK = "part_names"


class Piece(msgspec.Struct, frozen=True):
    """Rows `first` to `last` are the rows from `start` on of a dataset that has `rows` of them."""

    first: int
    last: int
    file: str
    dataset: str
    rows: int
    start: int


def create_virtual(group: h5py.Group, layout: DatasetLayout, rows: int, pieces: Iterable[Piece]) -> h5py.Dataset:
    """A dataset of so many rows; those that no piece has read as missing."""
    dtype = np.dtype(layout.dtype)
    virtual = h5py.VirtualLayout((rows, *layout.shape), dtype)
    for piece in pieces:
        source = h5py.VirtualSource(piece.file, piece.dataset, (piece.rows, *layout.shape), dtype)
        stop = piece.start + piece.last - piece.first + 1
        virtual[piece.first : piece.last + 1] = source[piece.start : stop]
    return group.create_virtual_dataset(layout.name, virtual, fillvalue=fill_value(dtype))


def hide(group: h5py.Group, layouts: Sequence[DatasetLayout], hidden: Spans) -> None:
    """Lets rows read as missing without writing them: the dataset stays under another name, with a view before it."""
    for layout in layouts:
        group.move(layout.name, layout.name + _STORED)
        stored = group[layout.name + _STORED]
        rows = len(stored)
        visible = Spans([(0, rows - 1)])
        for first, last in hidden:
            visible.remove(first, last)
        pieces = [Piece(first, last, ".", stored.name, rows, first) for first, last in visible]
        create_virtual(group, layout, rows, pieces).attrs.update(stored.attrs)
        # It is not one of the datasets of frames any more.
        del stored.attrs[_MARK]


def unhide(group: h5py.Group, layouts: Sequence[DatasetLayout]) -> None:
    """The datasets under their own names again."""
    for layout in layouts:
        if layout.name + _STORED in group:
            group[layout.name + _STORED].attrs[_MARK] = group[layout.name].attrs[_MARK]
            del group[layout.name]
            group.move(layout.name + _STORED, layout.name)
