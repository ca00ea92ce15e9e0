"""Numbers beside a file: whole, away, too short, of another series."""

from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from recorder_kit import Desk
from stins_recorder.numbers.messages import Work
from stins_recorder.numbers.series_numbers import SeriesNumbers

from stins.control import NumbersRequest

Broken = Callable[..., set[str]]
ASKED = NumbersRequest(keys=("sum", "max"))


@pytest.fixture
def numbered(desk: Desk) -> tuple[Path, Path]:
    """A series of three frames, and the file with their numbers."""
    desk.recording.prepare("s1", "a.h5", None, None, numbers=ASKED)
    desk.series("a.h5", range(3), frames_expected=3)
    work = SeriesNumbers(desk.path)
    assert work.advance(Work(file=str(desk.path), rows=3, over=True)).complete
    return desk.path, desk.path.with_name("a_numbers.h5")


def test_numbers_that_are_all_there_break_no_rule(numbered: tuple[Path, Path], broken: Broken) -> None:
    assert broken(numbered[0]) == set()


def _away(path: Path) -> None:
    path.unlink()


def _short(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["/entry/frame_numbers/max"].resize((2,))


def _foreign(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["series_mark"] = "another"


@pytest.mark.parametrize("damage", [_away, _short, _foreign])
def test_numbers_that_are_not_there_are_one_finding(
    numbered: tuple[Path, Path], damage: Callable[[Path], None], broken: Broken
) -> None:
    damage(numbered[1])
    assert broken(numbered[0]) == {"numbers.beside"}


def test_what_is_finished_is_left_as_it_is(numbered: tuple[Path, Path]) -> None:
    path, beside = numbered
    before = beside.stat().st_mtime_ns
    done = SeriesNumbers(path).advance(Work(file=str(path), rows=3, over=True))
    assert (done.complete, done.rows, beside.stat().st_mtime_ns) == (True, 3, before)
