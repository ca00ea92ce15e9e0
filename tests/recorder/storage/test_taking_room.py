"""Room in a file is taken before the frames come, and later too: what was written meanwhile stays."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from stins_recorder.storage.room import Room
from stins_recorder.storage.space import on_a_disk

from tests.file_limit import disk_full_beyond

PAGE = 4096
#: As many as the file may have (with `disk_full_beyond`): to take more fails.
MOST = 4


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT)
    if not on_a_disk(descriptor):
        os.close(descriptor)
        pytest.skip("room is taken on ext4 and xfs only")
    yield descriptor
    os.close(descriptor)


def taken(descriptor: int) -> int:
    return os.fstat(descriptor).st_blocks * 512


def test_room_that_cannot_be_had_later_takes_nothing_of_what_was_written_meanwhile(descriptor: int) -> None:
    # Two datasets of the same rows; there is time for the room in one, and none in the other.
    room = Room(descriptor, at_once_s=0.0, step_bytes=64 * PAGE)
    room.want([[(0, PAGE), (PAGE, 2 * MOST * PAGE)]], all_of_it=False)
    rows = os.urandom(2 * PAGE)
    os.pwrite(descriptor, rows, 0)
    with disk_full_beyond(MOST * PAGE):
        room.take()
    assert os.pread(descriptor, 2 * PAGE, 0) == rows


def test_room_left_over_from_an_earlier_wish_is_no_part_of_a_new_one(descriptor: int) -> None:
    room = Room(descriptor, at_once_s=0.0, step_bytes=64 * PAGE)
    room.want([[(0, PAGE), (PAGE, 2 * MOST * PAGE)]], all_of_it=False)
    rows = os.urandom(2 * PAGE)
    os.pwrite(descriptor, rows, 0)
    with disk_full_beyond(MOST * PAGE):
        room.want([[(20 * PAGE, PAGE)]], all_of_it=False)
    assert os.pread(descriptor, 2 * PAGE, 0) == rows


def test_the_first_rows_of_every_dataset_come_first(descriptor: int) -> None:
    room = Room(descriptor, at_once_s=0.0, step_bytes=3 * PAGE)
    os.truncate(descriptor, 64 * PAGE)
    room.want([[(0, 4 * PAGE), (32 * PAGE, 2 * PAGE)]], all_of_it=False)
    room.take()
    # Half of the rows in both; the first dataset alone would have taken 4.
    assert taken(descriptor) == 3 * PAGE
    room.take()
    room.take()
    assert taken(descriptor) == 6 * PAGE
