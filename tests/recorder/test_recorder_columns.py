"""Numbers per frame as growing datasets."""

from pathlib import Path

import h5py
from hypothesis import given, settings
from hypothesis import strategies as st
from stins_recorder.columns import Column


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
