"""Numbers of frames that several recorders share: how far they are as a whole."""

from typing import Any

import pytest

from stins import Share
from stins.control import PrepareRequest, RecorderState, RecorderStatus, SeriesState, SeriesStatus
from stins_ophyd.controller.fold import fold
from stins_ophyd.controller.ledger import Ledger, Member
from stins_ophyd.controller.numbers import numbered_rows

ORDER = PrepareRequest(series_id="s", filename="scan.h5", frames_expected=12)


def at(index: int, count: int, **values: Any) -> RecorderStatus:
    share = Share(index=index, count=count)
    values = {"rows": 4, "written": 4, "numbers_state": "open", **values}
    series = SeriesStatus(
        series_id="s", state=SeriesState.OPEN, file=f"/data/scan_part{index}.h5", share=share, **values
    )
    return RecorderStatus(name=f"r{index}", state=RecorderState.RECORDING, boot_id="b", pid=1, series=series)


def whole(*parts: dict[str, Any]) -> SeriesStatus:
    ledger = Ledger(members=tuple(Member() for _ in parts)).prepared(ORDER)
    for index, values in enumerate(parts):
        ledger = ledger.heard(index, at(index, len(parts), **values))
    series = fold(ledger).series
    assert series is not None
    return series


@pytest.mark.parametrize(
    ("numbered", "rows"), [((4, 4, 4), 12), ((4, 2, 4), 7), ((0, 4, 4), 0), ((4, 4, 3), 11), ((1, 1, 1), 3)]
)
def test_rows_are_those_before_the_first_without_numbers(numbered: tuple[int, ...], rows: int) -> None:
    series = whole(*({"numbers_rows": count} for count in numbered))
    assert (series.rows, series.numbers_rows, series.numbers_state) == (12, rows, "open")


@pytest.mark.parametrize(
    ("states", "state"),
    [
        (("complete", "open"), "open"),
        (("complete", "failed"), "failed"),
        (("complete", "complete"), "complete"),
        (("none", "none"), "none"),
    ],
)
def test_the_state_is_that_of_the_one_that_is_furthest_behind(states: tuple[str, ...], state: str) -> None:
    series = whole(*({"numbers_state": each, "numbers_rows": 4} for each in states))
    assert series.numbers_state == state


def test_who_has_failed_is_not_waited_for() -> None:
    series = whole({"numbers_state": "failed", "numbers_rows": 1}, {"numbers_rows": 3})
    assert series.numbers_rows == 7
    gone = whole({"numbers_state": "failed", "numbers_rows": 1}, {"numbers_state": "complete", "numbers_rows": 4})
    assert numbered_rows(gone) == 8


def test_those_of_the_last_row_are_those_of_whoever_has_it() -> None:
    parts = ({"numbers_rows": 4, "numbers_values": {"sum": 9.0}}, {"numbers_rows": 3, "numbers_values": {"sum": 5.0}})
    series = whole(*parts)
    assert (series.numbers_rows, series.numbers_values) == (7, {"sum": 9.0})  # row 6 is row 3 of the first
    series = whole(parts[0], {**parts[1], "numbers_rows": 2})
    assert (series.numbers_rows, series.numbers_values) == (5, {})  # row 4 is not the one it computed last


def test_one_that_is_gone_for_good_takes_its_numbers_along() -> None:
    ledger = Ledger(members=(Member(), Member())).prepared(ORDER)
    for index in (0, 1):
        ledger = ledger.heard(index, at(index, 2, numbers_rows=4, numbers_state="complete" if index else "open"))
    ledger = ledger.silent(0, "no heartbeat")
    assert _state(ledger) == "open"
    assert _state(ledger.given_up(0)) == "failed"


def _state(ledger: Ledger) -> str:
    series = fold(ledger).series
    assert series is not None
    return series.numbers_state
