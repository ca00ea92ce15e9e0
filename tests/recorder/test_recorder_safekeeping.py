"""What the journal is told of a series, and how often."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from recorder_kit import Desk
from stins_recorder.recording.journal import Journal, read_journal
from stins_recorder.recording.records import RECORDS, Point, Record
from stins_recorder.recording.safekeeping import Safekeeping


class Kept:
    """A series with many gaps, its journal, and a clock that is set by hand."""

    def __init__(self, root: Path) -> None:
        self.journal: Journal[Record] = Journal(root, "r", RECORDS)
        self.desk = Desk(root, journal=self.journal)
        self.now = 0.0
        self.safe = Safekeeping(self.journal, self.desk.machine, lambda _: None, clock=lambda: self.now)

    def discard(self, first: int, stop: int) -> None:
        """Frames of which every second is discarded."""
        for number in range(first, stop):
            self.desk.frame(number, data=(), **({"discard": True} if number % 2 else {}))
        self.desk.recording._refresh()

    def point(self, *, suspended: bool = False) -> None:
        self.safe.point(self.desk.recording._tally.position(None, suspended=suspended))

    @property
    def next_id(self) -> int | None:
        """How far the journal knows the stream."""
        point = read_journal(self.journal.path, RECORDS)[-1]
        assert isinstance(point, Point)
        return point.receiver.next_id


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path)
    kept.desk.start(None, data=())
    yield kept
    kept.journal.close()


def test_a_long_point_is_not_followed_by_another_at_once_and_nothing_is_acked_without_it(kept: Kept) -> None:
    kept.discard(0, 2000)
    kept.point()
    assert (kept.next_id, kept.safe.settled, kept.safe.behind) == (2001, ("s1", 2000), False)
    kept.discard(2000, 2010)
    kept.point()
    assert (kept.next_id, kept.safe.settled, kept.safe.behind) == (2001, ("s1", 2000), True)
    kept.now += 0.01  # 1,000 ranges and more: some 0.6 ms
    kept.point()
    assert (kept.next_id, kept.safe.settled, kept.safe.behind) == (2011, ("s1", 2010), False)


def test_the_point_of_a_stop_in_mid_series_is_never_left_out(kept: Kept) -> None:
    kept.discard(0, 2000)
    kept.point()
    kept.discard(2000, 2002)
    kept.point(suspended=True)
    assert (kept.next_id, kept.safe.behind) == (2003, False)
