"""Pixel masks and flat fields: one of each for every threshold, which may be replaced and restored."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .keys import RefusedError
from .models import Family, Model
from .pixels import default_flatfield, default_mask

__all__ = ["Arrays"]


class Arrays:
    """`get` and `put` use the shape of the region that is read out; the arrays are those of the whole detector."""

    def __init__(self, model: Model, family: Family) -> None:
        self._shape = model.shape
        self._thresholds = family.thresholds
        self._mask = default_mask(model.shape, family.module, family.gap)
        self._field = default_flatfield(model.shape)
        self._changed: dict[str, NDArray[Any]] = {}
        self.version = 0

    def get(self, name: str, region: tuple[int, int]) -> NDArray[Any]:
        """The array of that name (`pixel_mask/1`), in the middle of the detector."""
        return np.ascontiguousarray(self._whole(name)[self._window(region)])

    def put(self, name: str, values: NDArray[Any], region: tuple[int, int]) -> None:
        """Replaces it; raises `RefusedError` for another shape or type."""
        whole = self._whole(name)
        if values.shape != region or values.dtype != whole.dtype:
            got = f"{values.dtype} of shape {list(values.shape)}"
            raise RefusedError(f"{name}: got {got}, expected {whole.dtype} of shape {list(region)} (rows, columns)")
        changed = whole.copy()
        changed[self._window(region)] = values
        self._changed[name] = changed
        self.version += 1

    def restore(self, name: str) -> None:
        """The array that the detector came with."""
        if self._changed.pop(name, None) is not None:
            self.version += 1

    def reset(self) -> None:
        """All arrays that the detector came with."""
        for name in list(self._changed):
            self.restore(name)

    def _whole(self, name: str) -> NDArray[Any]:
        return self._changed.get(name, self._mask if name.startswith("pixel_mask") else self._field)

    def _window(self, region: tuple[int, int]) -> tuple[slice, slice]:
        rows, columns = ((whole - part) // 2 for whole, part in zip(self._shape, region, strict=True))
        return slice(rows, rows + region[0]), slice(columns, columns + region[1])
