"""Reads the images of a detector with Resource and Datum documents; found by the entry point `databroker.handlers`."""

from collections.abc import Sequence
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  # registers the filters

__all__ = ["SPEC", "StinsHandler"]

#: What Resource documents call our files.
SPEC = "STINS_HDF5"


class StinsHandler:
    """The frames of one data key in one file. The file may be being written: each call sees it as it is."""

    specs = frozenset({SPEC})

    def __init__(
        self,
        path: str,
        *,
        dataset: str,
        frame_per_point: int | None = None,
        chunk_shape: Sequence[int] = (),  # for those who want to know before they read
        swmr: bool = True,
    ) -> None:
        self._path = path
        self._dataset = dataset
        self._frames = frame_per_point
        self.chunk_shape = tuple(chunk_shape)
        self._swmr = swmr

    def __call__(self, *, point_number: int) -> Any:
        """The image of that point, (rows, columns); with several frames a point, (frames, rows, columns).

        Raises:
            IndexError: the point is not in the file.
        """
        frames = self._frames or 1
        first, behind = point_number * frames, (point_number + 1) * frames
        with h5py.File(self._path, "r", swmr=self._swmr) as file:
            values = file[self._dataset]
            if behind > len(values):
                raise IndexError(
                    f"{self._path}: {self._dataset} has {len(values)} frames, point {point_number} ends with {behind}"
                )
            return values[first:behind] if self._frames else values[first]
