"""What a file says of its series in the end. It can be said again: a file that was ended may go on, and end again."""

from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import msgspec
import numpy as np

from stins import SeriesResult

from ..layout import DatasetLayout
from ..nexus import DETECTOR, SERIES, now_iso
from ..nexus.tree import store_tree
from .frame_numbers import cut_numbers

__all__ = ["Ending", "cut", "ending_of", "write_ending"]

_END = "detector_specific_end"


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a series ended: its account (keys of `/entry/series`), what is missing, what the source said in its end."""

    account: Mapping[str, Any]
    missing: Sequence[tuple[int, int]]
    specific: Mapping[str, Any]


def ending_of(result: SeriesResult, account: Mapping[str, Any]) -> Ending:
    """What the file says of a series with this result."""
    specific = result.end.detector_specific if result.end is not None else None
    return Ending(account=account, missing=result.missing, specific=specific or {})


def cut(file: h5py.File, layouts: Sequence[DatasetLayout], rows: int, notes_bytes: int) -> None:
    """Makes everything that has a row for each frame exactly so many rows long."""
    detector = file[DETECTOR]
    cut_numbers(detector, rows, notes_bytes)
    for layout in layouts:
        if len(detector[layout.name]) != rows:
            detector[layout.name].resize(rows, axis=0)
    file[SERIES]["rows"][()] = rows


def write_ending(file: h5py.File, ending: Ending) -> None:
    """The account, and `end_time`."""
    series, detector = file[SERIES], file[DETECTOR]
    for group, names in (
        (series, {*ending.account, "missing_frames"}),
        (detector, {_END}),
        (file["/entry"], {"end_time"}),
    ):
        for name in names & set(group):
            del group[name]
    store_tree(series, ending.account)
    series.create_dataset("missing_frames", data=np.array(ending.missing, "<u8").reshape(-1, 2))
    if ending.specific:
        store_tree(detector.create_group(_END), ending.specific)
        detector[_END].attrs["NX_class"] = "NXcollection"
    file["/entry/end_time"] = now_iso()
