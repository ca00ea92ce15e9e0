"""Room behind the end of a growing file: there before the frames, and gone when the file is closed."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from series_kit import SeriesFile, closed, killed, start_of, stored
from stins_recorder.storage import ahead
from stins_recorder.storage.ahead import RoomAhead
from stins_recorder.storage.space import on_a_disk

from stins import Part

MIB = 1 << 20
SMALL = 64 << 10
#: What a file may have more than its length: its last page.
PAGE = 4096
NOISE = Part(name="image", shape=(64, 64), dtype="uint16", compression="bslz4")
ANNOUNCED = (Part(name="image", shape=(64, 64), dtype="uint16"),)
#: Runs in a process of its own, which is killed.
SCRIPT = """
from stins_recorder.storage import ahead
ahead._FROM_BYTES = 1 << 16
from test_room_ahead import ANNOUNCED, NOISE, noise
file = SeriesFile(path, start_of(path, data=ANNOUNCED), (), frames_per_file={per_file})
for row in range(200):
    file.write(stored(row, [noise(row)], data=[NOISE]))
file.flush()
"""


def noise(row: int) -> bytes:
    """Some 8 KiB that pass for a compressed frame."""
    return (8192).to_bytes(8, "big") + (4096).to_bytes(4, "big") + bytes([row % 251]) * 8000


def taken(file: Path | int) -> int:
    return (file.stat() if isinstance(file, Path) else os.fstat(file)).st_blocks * 512


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT)
    if not on_a_disk(descriptor):
        os.close(descriptor)
        pytest.skip("room is taken on ext4 and xfs only")
    yield descriptor
    os.close(descriptor)


def grow(descriptor: int, room: RoomAhead, rows: int, size: int = MIB) -> None:
    for _ in range(rows):
        row = os.fstat(descriptor).st_size // size
        room.written(row, size)
        os.pwrite(descriptor, bytes(size), row * size)


def test_a_large_file_has_room_ahead_and_keeps_its_length(descriptor: int) -> None:
    room = RoomAhead(descriptor, 0)
    grow(descriptor, room, 12)
    assert taken(descriptor) == 12 * MIB
    grow(descriptor, room, 12)
    assert taken(descriptor) >= 32 * MIB
    assert os.fstat(descriptor).st_size == 24 * MIB
    room.give_back()
    assert taken(descriptor) == os.fstat(descriptor).st_size == 24 * MIB


def test_no_more_is_taken_than_the_rows_to_come_need(descriptor: int) -> None:
    room = RoomAhead(descriptor, 20)
    grow(descriptor, room, 20)
    assert 20 * MIB <= taken(descriptor) <= 22 * MIB


def test_a_disk_that_is_filling_up_keeps_its_room(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_PLENTY", 1 << 40)
    room = RoomAhead(descriptor, 0)
    grow(descriptor, room, 24)
    assert taken(descriptor) == 24 * MIB


def test_a_closed_series_has_no_room_left_over(
    descriptor: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "_FROM_BYTES", SMALL)
    path = tmp_path / "a.h5"
    file = SeriesFile(path, start_of(path, data=ANNOUNCED), ())
    for row in range(200):
        file.write(stored(row, [noise(row)], data=[NOISE]))
    file.flush()
    before = taken(path)
    closed(file)
    assert taken(path) <= min(path.stat().st_size + PAGE, before - SMALL)


@pytest.mark.parametrize("per_file", [None, 200])
def test_the_room_of_a_dead_writer_is_given_back_when_its_file_is_closed(
    descriptor: int, tmp_path: Path, per_file: int | None
) -> None:
    path = tmp_path / "a.h5"
    growing = tmp_path / "a_data_000001.h5" if per_file else path
    checkpoint = killed(path, SCRIPT.format(per_file=per_file))
    before = taken(growing)
    closed(SeriesFile.resume(path, start_of(path, data=ANNOUNCED), checkpoint))
    assert taken(growing) <= min(growing.stat().st_size + PAGE, before - SMALL)
