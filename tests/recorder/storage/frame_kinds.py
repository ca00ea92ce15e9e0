"""Frames of every kind, and a file with them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import msgspec
import numpy as np
from recorder_kit import compressed, image
from series_kit import DATA, DETECTOR, SeriesFile, start_of, stored

from stins import FrameLayout, Part, StoreFrame

__all__ = ["FILL", "KINDS", "Kind", "begun", "check"]


class Kind(msgspec.Struct, frozen=True):
    """How frames look: `content` gives the parts of the frame that shows a number."""

    parts: tuple[Part, ...]
    content: Callable[[int], list[bytes]]
    pixels: Callable[[int], "np.ndarray[Any, Any]"]
    values: dict[str, Any] = {}

    def frame(self, row: int, number: int | None = None, **values: Any) -> StoreFrame:
        shown = row if number is None else number
        return stored(row, self.content(shown), self.parts, **self.values, **values)

    def start(self, path: Path, **values: Any) -> Any:
        parts = tuple(msgspec.structs.replace(part, compression="none") for part in self.parts)
        return start_of(path, data=parts, **self.values, **values)


def one_part(shape: tuple[int, int], compression: str = "none") -> Kind:
    def content(number: int) -> list[bytes]:
        if compression == "none":
            return [image(number, shape).tobytes()]
        return [compressed(number, hdf5plugin.Bitshuffle(), shape)]

    parts = (Part(name="image", shape=shape, dtype="uint16", compression=compression),)
    return Kind(parts, content, lambda number: image(number, shape))


def modules(side: int) -> Kind:
    """Four modules of a frame, in an order of their own."""
    places = ((side, side), (0, 0), (side, 0), (0, side))
    parts = tuple(
        Part(name=f"m{i}", shape=(side, side), dtype="uint16", offset=offset) for i, offset in enumerate(places)
    )

    def pixels(number: int) -> "np.ndarray[Any, Any]":
        whole = np.empty((2 * side, 2 * side), "<u2")
        for i, (y, x) in enumerate(places):
            whole[y : y + side, x : x + side] = image(4 * number + i, (side, side))
        return whole

    frame = FrameLayout(shape=(2 * side, 2 * side), chunks=(side, side))
    contents = lambda number: [image(4 * number + i, (side, side)).tobytes() for i in range(4)]  # noqa: E731
    return Kind(parts, contents, pixels, {"frame": frame})


KINDS = {
    "tiny": one_part((8, 12)),
    "small": one_part((128, 130)),
    "bslz4": one_part((128, 130), "bslz4"),
    "modules": modules(150),
    "large": one_part((1100, 700)),
}
FILL = 65535


def begun(tmp_path: Path, kind: Kind, rows: int | None = None, per_file: int | None = None) -> SeriesFile:
    """A series of which so many rows are expected, in one file or in several."""
    path = tmp_path / "a.h5"
    start = kind.start(path, **({"frames_expected": rows} if rows else {}))
    return SeriesFile(path, start, (), frames_per_file=per_file)


def check(path: Path, kind: Kind, expected: Sequence[int | None]) -> None:
    """The file has these frames, and is as long as that; None is a missing one."""
    with h5py.File(path) as file:
        data, numbers = file[DATA], file[f"{DETECTOR}/sequence_number"][()]
        assert len(data) == len(numbers) == len(expected)
        assert [row for row, shown in enumerate(expected) if shown is not None and numbers[row] != row] == []
        assert file["/entry/series/rows"][()] == len(expected)
        for row, number in enumerate(expected):
            np.testing.assert_array_equal(data[row], FILL if number is None else kind.pixels(number), str(row))
