"""Rows of a series that stands in several files, of which some are not there yet."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from stins_ophyd.catalog.virtual import Rows

FILL, PARTS, SHAPE = 99, 3, (4, 5)


def frame(row: int) -> np.ndarray:
    return np.full(SHAPE, row, "<u2")


def expected(*there: int, rows: int = 12) -> np.ndarray:
    """What all rows read as of which these are there."""
    return np.stack([frame(row if row in there else FILL) for row in range(rows)])


def write_part(folder: Path, index: int, rows: list[int]) -> None:
    with h5py.File(folder / f"part{index}.h5", "w", libver="latest") as file:
        images = file.create_dataset(
            "data", (len(rows), *SHAPE), "<u2", maxshape=(None, *SHAPE), chunks=(1, *SHAPE), fillvalue=FILL
        )
        for place, row in enumerate(rows):
            images[place] = frame(row)


def show(folder: Path, *, dealt: bool) -> Path:
    """Twelve rows of three files: in turn, or one after the other."""
    layout = h5py.VirtualLayout((12, *SHAPE), "<u2")
    for index in range(PARTS):
        source = h5py.VirtualSource(f"part{index}.h5", "data", (4, *SHAPE), "<u2")
        where = slice(index, None, PARTS) if dealt else slice(4 * index, 4 * index + 4)
        layout[where] = source[:4]
    with h5py.File(folder / "shown.h5", "w", libver="latest") as file:
        file.create_virtual_dataset("data", layout, fillvalue=FILL)
    return folder / "shown.h5"


@pytest.mark.parametrize(
    ("dealt", "parts", "there"),
    [
        (True, [[0, 3], [1, 4], [2]], (0, 1, 2, 3, 4)),
        (True, [[0, 3, 6], [1], None], (0, 1, 3, 6)),
        (True, [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]], tuple(range(12))),
        (False, [[0, 1, 2, 3], [4, 5], None], (0, 1, 2, 3, 4, 5)),
    ],
)
@pytest.mark.parametrize(
    "index",
    [
        *(5, (), slice(0, 5), slice(None), slice(3, 8), slice(1, 12, 2), (slice(2, 7), 1, slice(1, 3))),
        *(..., (..., 0), [-1, 2, 7], slice(None, None, -1)),
    ],
)
def test_a_row_that_is_not_there_yet_reads_as_the_fill_value(
    tmp_path: Path, *, dealt: bool, parts: list[list[int] | None], there: tuple[int, ...], index: Any
) -> None:
    for number, rows in enumerate(parts):
        if rows is not None:
            write_part(tmp_path, number, rows)
    images = Rows(show(tmp_path, dealt=dealt), "data", 12)
    assert np.array_equal(images[index], expected(*there)[index])
    assert np.array_equal(images.lazily()[index].compute(), expected(*there)[index])


def test_a_row_is_read_once_its_file_has_it(tmp_path: Path) -> None:
    for index in range(PARTS):
        write_part(tmp_path, index, [index])
    images = Rows(show(tmp_path, dealt=True), "data", 6)
    assert np.array_equal(images[1:5], expected(1, 2, rows=6)[1:5])
    write_part(tmp_path, 0, [0, 3])
    assert np.array_equal(images[1:5], expected(1, 2, 3, rows=6)[1:5])


def test_no_more_rows_are_read_than_there_are_to_be(tmp_path: Path) -> None:
    for index in range(PARTS):
        write_part(tmp_path, index, [row + index for row in (0, 3, 6, 9)])
    images = Rows(show(tmp_path, dealt=True), "data", 6)
    mask = np.arange(6) % 3 == 1
    for index in (
        *((), -1, slice(None), slice(-2, None), (slice(4, 9), 1), slice(5, 2)),
        *(..., (..., 0), (1, ..., 2), (slice(4, 9), ...), slice(None, None, -1)),
        *([-1], [4, 0, 4], mask, (mask, ..., 0), [True] * 6, np.array([], int)),
    ):
        assert np.array_equal(images[index], expected(*range(6), rows=6)[index]), index
    for beyond in (6, [6], -7):
        with pytest.raises(IndexError):
            images[beyond]


def test_as_many_rows_as_another_file_has_are_read(tmp_path: Path) -> None:
    write_part(tmp_path, 0, [0, 1, 2])
    layout = h5py.VirtualLayout((3, *SHAPE), "<u2", maxshape=(None, *SHAPE))
    source = h5py.VirtualSource("part0.h5", "data", (3, *SHAPE), "<u2", maxshape=(None, *SHAPE))
    layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
    with h5py.File(tmp_path / "shown.h5", "w", libver="latest") as file:
        file.create_virtual_dataset("data", layout, fillvalue=FILL)
    images = Rows(tmp_path / "shown.h5", "data", 12)
    assert np.array_equal(images[:], expected(0, 1, 2, rows=3))
    write_part(tmp_path, 0, [0, 1, 2, 3])
    assert np.array_equal(Rows(tmp_path / "shown.h5", "data", 12)[1:], expected(0, 1, 2, 3, rows=4)[1:])


def test_rows_that_stand_in_the_same_file_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "hidden.h5", "w", libver="latest") as file:
        file["stored"] = expected(*range(12))
        layout = h5py.VirtualLayout((12, *SHAPE), "<u2")
        layout[2:12:2] = h5py.VirtualSource(file["stored"])[2:12:2]
        file.create_virtual_dataset("data", layout, fillvalue=FILL)
    images = Rows(tmp_path / "hidden.h5", "data", 12)
    assert np.array_equal(images[:], expected(2, 4, 6, 8, 10))
