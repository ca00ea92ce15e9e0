"""Room on the disk: looked at, and held."""

import os
from pathlib import Path

import pytest
from stins_recorder.errors import StorageError
from stins_recorder.recording.journal import FOLDER
from stins_recorder.recording.room import Room

from tests.file_limit import disk_full_beyond


def test_what_is_held_takes_its_room_until_it_is_given_back(tmp_path: Path) -> None:
    room = Room([tmp_path], 0, "r")
    room.hold(tmp_path / "day" / "a.h5")
    held = tmp_path / FOLDER / "r.reserve"
    assert held.stat().st_blocks * 512 >= 4 << 20
    room.hold(tmp_path / "b.h5")
    room.release()
    room.release()
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_it_is_held_on_the_root_of_the_file(tmp_path: Path) -> None:
    roots = [tmp_path / "one", tmp_path / "two"]
    for root in roots:
        root.mkdir()
    room = Room(roots, 0, "r")
    room.hold(roots[1] / "a.h5")
    assert [(root / FOLDER).exists() for root in roots] == [False, True]
    room.release()


def test_where_there_is_no_room_nothing_is_left_of_the_try(tmp_path: Path) -> None:
    room = Room([tmp_path], 0, "r")
    with disk_full_beyond(1 << 20), pytest.raises(StorageError, match=rf"reserve {tmp_path}/a\.h5: "):
        room.hold(tmp_path / "a.h5")
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_a_folder_in_which_another_recorder_is_about_to_take_room_stays(tmp_path: Path) -> None:
    one, other = Room([tmp_path], 0, "one"), Room([tmp_path], 0, "other")
    one.hold(tmp_path / "a.h5")
    folder = os.open(tmp_path / FOLDER, os.O_RDONLY)  # the other one has just seen that it is there
    one.release()
    os.close(os.open(tmp_path / FOLDER / "other.reserve", os.O_WRONLY | os.O_CREAT))
    assert os.fstat(folder).st_nlink > 0
    os.close(folder)
    other.hold(tmp_path / "b.h5")
    other.release()


def test_the_room_is_looked_at_again_after_a_quarter_of_the_reserve(tmp_path: Path) -> None:
    free = Room([tmp_path], 0, "r").free_bytes()
    room = Room([tmp_path], 2 * free, "r")
    room.written(tmp_path / "a.h5", free // 4)
    with pytest.raises(StorageError, match=r"too little room on the disk: .*; free .*, or record below another root"):
        room.written(tmp_path / "a.h5", free)


class Stocked(Room):
    """On a disk with 13,565,952 bytes free."""

    def free_bytes(self, folder: Path | None = None) -> int:
        return 13_565_952


@pytest.mark.parametrize(
    ("needed", "expected", "short"),
    [
        (0, "16.8 MB that every series leaves free", "3.3 MB"),
        (5 * 10**12, "5,000.0 GB for the series and 16.8 MB that every series leaves free", "5,000.1 GB"),
    ],
)
def test_it_says_in_megabytes_how_much_is_free_and_how_much_is_to_be_made_free(
    needed: int, expected: str, short: str
) -> None:
    path = Path("/data/a.h5")
    with pytest.raises(StorageError) as caught:
        Stocked([path.parent], 1 << 24, "r").check(path, needed)
    assert str(caught.value) == (
        f"{path}: too little room on the disk: 13.6 MB free, expected {expected} (reserve_bytes); "
        f"free {short} or more, or record below another root"
    )
