"""Numbers of frames in data files beside the series' file, which shows nothing of one that cannot be opened."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from recorder_kit import Desk, image
from stins_recorder.nexus import SERIES
from stins_recorder.numbers.messages import Done, Work
from stins_recorder.numbers.reading import UnreadableError
from stins_recorder.numbers.series_numbers import SeriesNumbers
from stins_recorder.series.asked import write_asked

from stins.control import NumbersRequest

ASKED = NumbersRequest(keys=("sum",))


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Frames 0, 1 | 2, 3 | (4 missing) 5, whose numbers were asked for."""
    desk = Desk(tmp_path, frames_per_file=2)
    desk.start("pieces.h5")
    desk.frames(0, 1, 2, 3)
    desk.lose(4)
    desk.frame(5)
    desk.end()
    desk.give_up_gaps()
    with h5py.File(desk.path, "r+") as file:
        write_asked(file, desk.path, ASKED)
    return desk.path


def compute(series: Path) -> Done:
    """Until nothing is left to do."""
    numbers, done = SeriesNumbers(series), Done(file="")
    try:
        while not done.complete:
            done = numbers.advance(Work(file=str(series), rows=6, over=True))
    finally:
        numbers.close()
    return done


def test_they_are_those_of_the_frames_in_all_of_them(series: Path) -> None:
    compute(series)
    with h5py.File(series) as file:
        sums = file["/entry/frame_numbers/sum"][()]
    wanted = [np.nan if number == 4 else image(number).sum(dtype=int) for number in range(6)]
    np.testing.assert_array_equal(sums, wanted)


def test_one_that_is_away_is_never_taken_for_frames(series: Path) -> None:
    series.with_name("pieces_data_000002.h5").rename(series.with_name("elsewhere.h5"))
    with pytest.raises(UnreadableError, match="pieces_data_000002"):
        compute(series)
    series.with_name("elsewhere.h5").rename(series.with_name("pieces_data_000002.h5"))
    assert compute(series).rows == 6


def test_one_of_another_series_is_refused(series: Path) -> None:
    with h5py.File(series.with_name("pieces_data_000001.h5"), "r+") as file:
        file.attrs["series_mark"] = "another"
    with pytest.raises(UnreadableError, match="no data file of this series"):
        compute(series)


def test_one_away_is_noticed_beside_frames_that_were_discarded_too(series: Path) -> None:
    with h5py.File(series, "r+") as file:
        file[f"{SERIES}/discarded"][...] = 1
    series.with_name("pieces_data_000003.h5").rename(series.with_name("elsewhere.h5"))
    with pytest.raises(UnreadableError, match="pieces_data_000003"):
        compute(series)
