"""Numbers per frame as growing datasets."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stins_recorder.storage.columns import Column
from stins_recorder.storage.hdf5 import create, open_swmr


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(-(2**63), 2**63 - 1), st.booleans()), max_size=40),
    st.booleans(),
)
def test_a_column_holds_the_last_value_of_each_row_and_the_fill_value_between(
    writes: list[tuple[int, int, bool]], ahead: bool
) -> None:
    expected: dict[int, int] = {}
    with h5py.File.in_memory() as file:
        column = Column.create(file, "c", "<i8", -7, "s", ahead=ahead)
        for row, value, flush in writes:
            column.set(row, value)
            expected[row] = value
            if flush:
                column.flush()
        column.flush()
        rows = max(expected, default=-1) + 1
        assert column.dataset.attrs["units"] == "s"
        assert column.dataset[:].tolist() == [expected.get(row, -7) for row in range(len(column.dataset))]
        assert rows <= len(column.dataset) < rows + 1024


def test_a_row_far_away_costs_no_memory_and_little_space(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "c.h5", "w", libver=("v110", "v110")) as file:
        column = Column.create(file, "c", "<u8", 0)
        column.set(0, 1)
        column.set(10**9, 2)
        column.flush()
        assert (column.dataset[0], column.dataset[10**9]) == (1, 2)
    assert (tmp_path / "c.h5").stat().st_size < 1 << 20


def test_numbers_that_are_written_in_place_are_there_for_every_reader(tmp_path: Path) -> None:
    """Beside HDF5, which makes the room: rows one by one, many at once, across blocks, behind a gap and again."""
    path = tmp_path / "c.h5"
    with create(path) as file:
        Column.create(file, "late", "<i8", -7)
        Column.create(file, "ahead", "<f8", -7, ahead=True)
    descriptor = os.open(path, os.O_RDWR)
    try:
        with open_swmr(path) as file, h5py.File(path, swmr=True) as reader:
            for name in ("late", "ahead"):
                column = Column(file[name], descriptor=descriptor)
                expected = np.full(3000, -7)
                for rows in ([0], [1], range(2, 700), range(700, 1500), [1499], [3], [2900], [2901]):
                    for row in rows:
                        column.set(row, row * 2)
                        expected[row] = row * 2
                    column.flush()
                    file.flush()
                    reader[name].refresh()
                    seen = reader[name][: min(3000, len(reader[name]))]
                    assert seen.tolist() == expected[: len(seen)].tolist()
                assert (len(seen), column.next_row) == (3000, 2902)
    finally:
        os.close(descriptor)


def test_a_block_that_has_its_place_is_not_written_by_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    with create(path) as file:
        Column.create(file, "c", "<i8", 0)
    with open_swmr(path) as file:
        descriptor = os.open(path, os.O_RDWR)
        column = Column(file["c"], descriptor=descriptor)
        column.set(0, 1)
        column.flush()
        os.close(descriptor)
        column.set(1, 2)
        with pytest.raises(OSError, match="Bad file descriptor"):
            column.flush()
