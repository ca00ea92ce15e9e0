"""Large frames, written in the background."""

import errno
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from stins_recorder.storage.large import LargeWriter

SIZE = (1 << 20) + 1234


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def content(number: int) -> bytes:
    return np.random.default_rng(number).bytes(SIZE)


@pytest.mark.parametrize("folder", ["disk", "memory"])
def test_contents_stand_in_their_places_after_a_flush(tmp_path: Path, folder: str) -> None:
    with tempfile.TemporaryFile(dir=tmp_path if folder == "disk" else "/dev/shm") as file:
        check_that_contents_stand_in_their_places(file.fileno())


def check_that_contents_stand_in_their_places(descriptor: int) -> None:
    writer = LargeWriter(descriptor, SIZE)
    step = 4096 * 300
    # Not aligned in memory, as messages are.
    sent = [memoryview(b"x" + content(number))[1:] for number in range(12)]
    for number, each in enumerate(sent):
        writer.write(each, number * step)
    writer.flush()
    assert [os.pread(descriptor, SIZE, number * step) for number in range(12)] == sent
    writer.close()
    writer.close()


def test_what_is_written_again_to_a_place_is_what_came_last(descriptor: int) -> None:
    writer = LargeWriter(descriptor, SIZE)
    for number in range(20):
        writer.write(content(number), 0)
    writer.flush()
    writer.close()
    assert os.pread(descriptor, SIZE, 0) == content(19)


def test_a_failure_is_raised_by_the_next_flush_and_write() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    writer = LargeWriter(full, SIZE)
    writer.write(content(0), 0)
    with pytest.raises(OSError, match="No space left"):
        writer.flush()
    with pytest.raises(OSError) as caught:  # noqa: PT011  # by its number
        writer.write(content(0), 0)
    assert caught.value.errno == errno.ENOSPC
    writer.close()
    os.close(full)


def test_no_thread_is_left(descriptor: int) -> None:
    before = threading.active_count()
    writer = LargeWriter(descriptor, SIZE)
    assert threading.active_count() > before
    writer.close()
    assert threading.active_count() == before


def test_a_content_that_is_larger_than_the_buffer_is_written_too(descriptor: int) -> None:
    writer = LargeWriter(descriptor, 8192)
    writer.write(content(1), 4096)
    writer.flush()
    writer.close()
    assert os.pread(descriptor, SIZE, 4096) == content(1)
