"""Small frames, written together."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from stins_recorder.storage.batches import BatchWriter
from stins_recorder.storage.pixels import pixel_writer
from stins_recorder.storage.space import on_a_disk

SIZE = 96 << 10


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT)
    if not on_a_disk(descriptor):
        pytest.skip("the tests' folder is not on a disk")
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def writer(descriptor: int) -> Iterator[BatchWriter]:
    writer = BatchWriter(descriptor)
    yield writer
    writer.close()
    writer.close()


def content(number: int) -> bytes:
    return np.random.default_rng(number).bytes(SIZE)


def held(descriptor: int, count: int) -> list[bytes]:
    return [os.pread(descriptor, SIZE, row * SIZE) for row in range(count)]


def test_contents_stand_in_their_places_after_a_flush(descriptor: int, writer: BatchWriter) -> None:
    sent = [content(number) for number in range(200)]
    for number, each in enumerate(sent):
        # Not aligned in memory, as messages are; and used for something else afterwards.
        memory = bytearray(b"x" + each)
        writer.write(memoryview(memory)[1:], number * SIZE)
        memory[:] = bytes(len(memory))
        if number in (3, 4, 100):
            writer.flush()
            assert held(descriptor, number + 1) == sent[: number + 1]
    writer.flush()
    assert held(descriptor, 200) == sent


def test_what_is_written_again_to_a_place_is_what_came_last(descriptor: int, writer: BatchWriter) -> None:
    order = [*range(60), *range(10, 60), 59, 59, 3, *range(50, 90)]
    last = {}
    for number, row in enumerate(order):
        writer.write(content(number), row * SIZE)
        last[row] = number
    writer.flush()
    assert held(descriptor, 90) == [content(last[row]) for row in range(90)]


def test_gaps_are_left_as_they_are(descriptor: int, writer: BatchWriter) -> None:
    os.pwrite(descriptor, content(0) * 9, 0)
    for row in (1, 2, 5, 8):
        writer.write(content(row), row * SIZE)
    writer.flush()
    assert held(descriptor, 9) == [content(row if row in (1, 2, 5, 8) else 0) for row in range(9)]


def test_a_failure_is_raised_and_nothing_is_written_after_it(descriptor: int, writer: BatchWriter) -> None:
    writer.write(content(0), 0)
    writer.flush()
    # No file can be so long.
    writer.write(content(1), (1 << 62) // SIZE * SIZE)
    with pytest.raises(OSError, match="too large"):
        writer.flush()
    with pytest.raises(OSError, match="too large"):
        writer.write(content(2), 0)
    assert held(descriptor, 1) == [content(0)]


def test_where_which_contents_are_written_in_the_background(descriptor: int) -> None:
    with Path("/dev/shm").joinpath(f"stins-{os.getpid()}").open("w+b", buffering=0) as memory:
        Path(memory.name).unlink()
        for file, sizes, kind in [
            (descriptor, (32 << 10, 32 << 10), "BatchWriter"),
            (descriptor, (40_000, 40_000), "_CachedWriter"),
            (descriptor, (64 << 10, 32 << 10), "_CachedWriter"),
            (descriptor, (1 << 20, 1 << 20), "LargeWriter"),
            (descriptor, (16 << 10, 16 << 10), "_CachedWriter"),
            (memory.fileno(), (32 << 10, 32 << 10), "_CachedWriter"),
            (memory.fileno(), (1 << 20, 1 << 20), "LargeWriter"),
        ]:
            writer = pixel_writer(file, *sizes)
            assert type(writer).__name__ == kind
            writer.close()
