"""The numbers of frames: arithmetic on pixels, and nothing else."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeAlias

import msgspec
import numpy as np

from stins.control import NumbersRequest, Region
from stins.numbers import areas, name_of

__all__ = ["Counted", "Pixels", "Rows", "reduce_frames"]

Pixels: TypeAlias = np.ndarray[Any, Any]
#: Of which rows something is so.
Rows: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


class Counted(msgspec.Struct, frozen=True):
    """Which pixels count (`mask`, of a frame's shape; None: all), and from which value on one is saturated.

    Where nobody says, that is the highest number that a whole number of that type can be. Whole numbers below `lowest`
    do not count: they mark gaps and bad pixels. `marks`: nor does the highest number of the type, but as saturated.
    """

    mask: Pixels | None = None
    saturation: float | None = None
    lowest: float | None = None
    marks: bool = False


def reduce_frames(frames: Pixels, request: NumbersRequest, counted: Counted, channel: str = "") -> dict[str, Numbers]:
    """The numbers of `frames` (frame, ...) that are asked for, one of each for each frame; NaN where there is none.

    They are called as those of `channel`; empty: of the first image.

    Pixels that are not finite do not count. A region that does not lie in the frame has no numbers. `frames` is spoilt:
    pixels that do not count are overwritten, which is ten times as fast as picking the others.
    """
    names = [name_of(area, key, channel) for area in areas(request) for key in request.keys]
    found: dict[str, Numbers] = {name: np.full(len(frames), np.nan) for name in names}
    for area in areas(request):
        place = _place(area, frames.shape[1:])
        if place is None or not len(frames):
            continue
        pixels = frames[(slice(None), *place)].reshape(len(frames), -1)
        mask = None if counted.mask is None else counted.mask[place].ravel()
        for key, values in _numbers(pixels, mask, counted).items():
            if key in request.keys:
                found[name_of(area, key, channel)] = values()
    return found


def _place(area: Region | None, shape: tuple[int, ...]) -> tuple[slice, ...] | None:
    if area is None:
        return tuple(slice(None) for _ in shape)
    bottom, right = area.row + area.rows, area.column + area.columns
    if len(shape) != 2 or bottom > shape[0] or right > shape[1]:
        return None
    return slice(area.row, bottom), slice(area.column, right)


def _numbers(pixels: Pixels, mask: Pixels | None, counted: Counted) -> Mapping[str, Callable[[], Numbers]]:
    floats = pixels.dtype.kind == "f"
    if not floats and counted.lowest is None and not counted.marks:
        return _of_integers(pixels, mask, counted.saturation)
    counts: Pixels = np.ones(pixels.shape, np.bool_) if mask is None else np.broadcast_to(mask, pixels.shape)
    if floats:
        counts = counts & np.isfinite(pixels)
        limit = np.inf if counted.saturation is None else counted.saturation
        return _of_some(pixels, counts, counts & (pixels >= limit))
    highest = np.iinfo(pixels.dtype).max
    if counted.lowest is not None:
        counts = counts & (pixels >= counted.lowest)
    saturated = counts & (pixels >= (highest if counted.saturation is None else counted.saturation))
    return _of_some(pixels, counts & (pixels < highest) if counted.marks else counts, saturated)


def _of_integers(pixels: Pixels, mask: Pixels | None, saturation: float | None) -> Mapping[str, Callable[[], Numbers]]:
    left_out = np.flatnonzero(~mask) if mask is not None else np.empty(0, np.intp)
    count = pixels.shape[1] - len(left_out)
    limits = np.iinfo(pixels.dtype)
    now: int | None = None

    def leave_out(value: int) -> None:
        """Lets them be of no account: without a sign one value does for everything."""
        nonlocal now
        if now != value:
            pixels[:, left_out] = now = value

    highest = limits.max if saturation is None else saturation

    @cache
    def total() -> Numbers:
        leave_out(0)
        return np.asarray(pixels.sum(axis=1, dtype="u8" if pixels.dtype.kind == "u" else "i8"), float)

    def largest() -> Numbers:
        leave_out(int(limits.min))
        return np.asarray(pixels.max(axis=1), float) if count else np.full(len(pixels), np.nan)

    def saturated() -> Numbers:
        leave_out(int(limits.min))
        found = np.zeros(len(pixels))
        # Most frames have none, and a maximum is found thirty times as fast as they are counted.
        for row in np.flatnonzero(pixels.max(axis=1) >= highest):
            found[row] = np.count_nonzero(pixels[row] >= highest)
        # Where a limit is below all numbers there are, those that do not count must not reach it either.
        return found - (len(left_out) if limits.min >= highest else 0)

    return {
        "sum": total,
        "mean": lambda: total() / (count or np.nan),
        "max": largest,
        "saturated": saturated,
    }


def _of_some(pixels: Pixels, counts: Pixels, saturated: Pixels) -> Mapping[str, Callable[[], Numbers]]:
    """Where in each frame other pixels count."""
    kind = pixels.dtype.kind
    lowest = -np.inf if kind == "f" else np.iinfo(pixels.dtype).min
    # A frame without a pixel that counts has no mean and no maximum.
    count = np.where(counts.any(axis=1), counts.sum(axis=1), np.nan)

    def total() -> Numbers:
        return np.asarray(np.where(counts, pixels, 0).sum(axis=1, dtype={"f": "f8", "u": "u8", "i": "i8"}[kind]), float)

    def largest() -> Numbers:
        return np.where(np.isnan(count), np.nan, np.where(counts, pixels, lowest).max(axis=1))

    return {
        "sum": total,
        "mean": lambda: total() / count,
        "max": largest,
        "saturated": lambda: np.asarray(np.count_nonzero(saturated, axis=1), float),
    }
