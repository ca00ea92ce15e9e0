"""One recorder of several: its own file, and its own frames."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from recorder_kit import IMAGE, NUMBERS, Desk, image
from stins_recorder.errors import PathError
from stins_recorder.shares import own_part, share_of

from stins import Part, Share
from stins.control import PrepareRequest, SeriesState

ONE_OF_THREE = Share(index=1, count=3)
REQUEST = PrepareRequest(series_id="s1", filename="a/scan.h5", frames_expected=8, share=ONE_OF_THREE)
SMALL = Part(name="image", shape=(2, 2), dtype="uint16")


def test_a_recorder_gets_ready_for_its_own_file_and_frames(tmp_path: Path) -> None:
    own = own_part([tmp_path], REQUEST)
    assert (own.filename, own.frames_expected) == ("a/scan_part1.h5", 3)


def test_without_a_share_or_a_file_nothing_is_changed_or_looked_for(tmp_path: Path) -> None:
    whole = PrepareRequest(series_id="s1", filename="a/scan.h5", frames_expected=8)
    live = PrepareRequest(series_id="s1", share=ONE_OF_THREE)
    assert own_part([tmp_path], whole) == whole
    assert own_part([tmp_path], live) == live


def test_the_name_of_the_joined_file_must_be_free_before_anything_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "scan.h5").touch()
    with pytest.raises(PathError, match=r"scan\.h5 stands already"):
        own_part([tmp_path], REQUEST)


def test_the_file_of_a_share_says_so_and_has_its_numbers(desk: Desk) -> None:
    desk.start("scan_part1.h5", share=ONE_OF_THREE, frames_expected=4)
    desk.frame(1)
    desk.lose(4)
    desk.frames(7, 10)
    desk.end(frames_total=12)
    desk.give_up_gaps()
    account = desk.account
    assert (account.state, account.share, account.frames_total) == (SeriesState.INCOMPLETE, ONE_OF_THREE, 12)
    assert (account.rows, account.written, account.missing, account.missing_frames) == (4, 3, 1, ((4, 4),))
    with h5py.File(desk.path) as file:
        assert share_of(file) == ONE_OF_THREE
        assert file[NUMBERS][()].tolist() == [1, 4, 7, 10]
        assert np.array_equal(file["/entry/data/data"][2], image(7))


def test_frames_of_a_share_that_cannot_be_written_are_one_range(desk: Desk) -> None:
    desk.start("scan_part1.h5", share=ONE_OF_THREE)
    desk.frame(1)
    for number in (4, 7, 10):
        desk.frame(number, bytes(8), data=(SMALL,))
    desk.frame(13, data=(IMAGE,))
    desk.end(frames_total=14)
    assert (desk.account.missing, desk.account.missing_frames) == (3, ((4, 10),))
