"""When a burst of documents is written."""

import pytest

from stins_ophyd.catalog.pace import Pace


def test_nothing_gathered_is_never_due() -> None:
    assert Pace().due_in(5.0) is None


def test_a_burst_is_due_after_a_lull() -> None:
    pace = Pace()
    assert (pace.note(10.0), pace.note(10.1)) == (True, False)
    assert pace.due_in(10.1) == pytest.approx(0.3)


def test_without_a_lull_it_is_due_a_second_after_its_first_document() -> None:
    pace = Pace()
    for tenth in range(10):
        pace.note(10.0 + tenth / 10)
    assert pace.due_in(10.9) == pytest.approx(0.1)


def test_the_next_one_waits_four_times_as_long_as_the_last_one_took() -> None:
    pace = Pace()
    pace.note(10.0)
    pace.begin()
    pace.end(11.0, took=0.5)
    assert pace.note(11.1)
    assert pace.due_in(11.1) == pytest.approx(1.9)
