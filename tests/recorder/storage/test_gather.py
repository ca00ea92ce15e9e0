"""Small frames, written together."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from stins_recorder.storage.gather import GatherWriter
from stins_recorder.storage.large import LargeWriter
from stins_recorder.storage.pixels import pixel_writer
from stins_recorder.storage.space import on_a_disk

from tests.file_limit import disk_full_beyond

SIZE = 96 << 10


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def writer(descriptor: int) -> Iterator[GatherWriter]:
    writer = GatherWriter(descriptor)
    yield writer
    writer.close()
    writer.close()


def content(number: int) -> bytes:
    return np.random.default_rng(number).bytes(SIZE)


def held(descriptor: int, count: int) -> list[bytes]:
    return [os.pread(descriptor, SIZE, row * SIZE) for row in range(count)]


def test_contents_stand_in_their_places_after_a_flush(descriptor: int, writer: GatherWriter) -> None:
    sent = [content(number) for number in range(200)]
    for number, each in enumerate(sent):
        # Not aligned in memory, as messages are.
        writer.write(memoryview(b"x" + each)[1:], number * SIZE)
        if number in (3, 4, 100):
            writer.flush()
            assert held(descriptor, number + 1) == sent[: number + 1]
    writer.flush()
    assert held(descriptor, 200) == sent


def test_what_is_written_again_to_a_place_is_what_came_last(descriptor: int, writer: GatherWriter) -> None:
    order = [*range(60), *range(10, 60), 59, 59, 3, *range(50, 90)]
    last = {}
    for number, row in enumerate(order):
        writer.write(content(number), row * SIZE)
        last[row] = number
    writer.flush()
    assert held(descriptor, 90) == [content(last[row]) for row in range(90)]


def test_gaps_are_left_as_they_are(descriptor: int, writer: GatherWriter) -> None:
    os.pwrite(descriptor, content(0) * 9, 0)
    for row in (1, 2, 5, 8):
        writer.write(content(row), row * SIZE)
    writer.flush()
    assert held(descriptor, 9) == [content(row if row in (1, 2, 5, 8) else 0) for row in range(9)]


def test_more_pieces_than_one_call_takes(descriptor: int, writer: GatherWriter) -> None:
    for number in range(3000):
        writer.write(bytes([number % 251]), number)
    writer.flush()
    assert os.pread(descriptor, 4000, 0) == bytes(number % 251 for number in range(3000))


def test_what_fits_on_a_full_disk_is_written_and_the_rest_is_told_until_there_is_room(
    descriptor: int, writer: GatherWriter
) -> None:
    with disk_full_beyond(2 * SIZE + 100):
        for row in range(3):
            writer.write(content(row), row * SIZE)
        for _ in range(2):
            with pytest.raises(OSError, match="too large"):
                writer.flush()
    assert held(descriptor, 3) == [content(0), content(1), content(2)[:100]]
    writer.flush()
    assert held(descriptor, 3) == [content(row) for row in range(3)]


def test_which_contents_are_written_in_the_background(tmp_path: Path) -> None:
    for folder, sizes, large in [
        (tmp_path, (32 << 10, 32 << 10), False),
        (tmp_path, (1 << 20, 1 << 20), True),
        (tmp_path, (1 << 20, 1 << 10), True),
        (Path("/dev/shm"), (1 << 20, 1 << 20), False),
    ]:
        with tempfile.TemporaryFile(dir=folder) as file:
            writer = pixel_writer(file.fileno(), *sizes)
            assert isinstance(writer, LargeWriter) == (large and on_a_disk(file.fileno()))
            writer.close()
