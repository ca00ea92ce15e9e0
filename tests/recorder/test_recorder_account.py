"""The published account of a series: its sums hold, however it ended."""

import pytest
from recorder_kit import balanced
from stins_recorder.recording.account import LISTED_RANGES, cut_short

from stins import Share
from stins.control import SeriesState, SeriesStatus


def account(expected: int | None, written: int, missing: tuple[tuple[int, int], ...], step: int = 1) -> SeriesStatus:
    return SeriesStatus(
        series_id="s1",
        state=SeriesState.OPEN,
        file="/data/a.h5",
        share=Share(index=1, count=step) if step > 1 else None,
        frames_expected=expected,
        received=written,
        written=written,
        missing=sum((last - first) // step + 1 for first, last in missing),
        missing_frames=missing[:LISTED_RANGES],
    )


@pytest.mark.parametrize(
    ("before", "missing"),
    [
        (account(10, 4, ()), ((4, 9),)),
        (account(10, 3, ((1, 1),)), ((1, 1), (4, 9))),
        (account(10, 3, ((3, 4),)), ((3, 9),)),
        (account(10, 10, ()), ()),
        (account(None, 3, ((1, 1),)), ((1, 1),)),
    ],
    ids=["none", "a gap", "a gap at the end", "all are there", "nobody knows how many"],
)
def test_of_a_series_that_nobody_goes_on_with_the_rest_is_missing(
    before: SeriesStatus, missing: tuple[tuple[int, int], ...]
) -> None:
    after = balanced(cut_short(before))
    assert (after.written, after.missing_frames) == (before.written, missing)
    assert cut_short(after) == after


def test_of_a_share_only_its_own_frames_are_missing() -> None:
    after = cut_short(account(5, 2, ((3, 3),), step=2))
    assert (after.missing, after.missing_frames) == (3, ((3, 3), (7, 9)))


def test_a_rest_behind_more_ranges_than_a_status_lists_is_counted() -> None:
    gaps = tuple((2 * n, 2 * n) for n in range(LISTED_RANGES + 20))
    after = cut_short(account(1000, 120, gaps))
    assert (after.missing, after.missing_frames) == (880, gaps[:LISTED_RANGES])
