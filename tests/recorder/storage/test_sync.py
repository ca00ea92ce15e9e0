"""What is forced to the disk, and what is known of it."""

import os
from pathlib import Path

import pytest
from recorder_kit import wait_until
from series_kit import SeriesFile, start_of, stored
from stins_recorder.storage import Syncer


def test_durable_is_the_number_of_the_last_sync_that_has_ended(tmp_path: Path) -> None:
    syncer = Syncer(tmp_path)
    descriptor = os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT)
    os.write(descriptor, b"x")
    assert syncer.durable == 0
    syncer.begin([descriptor], 7)
    os.close(descriptor)
    wait_until(lambda: syncer.durable == 7)
    syncer.close()
    syncer.close()


def test_a_sync_that_fails_is_raised_by_the_next(tmp_path: Path) -> None:
    syncer = Syncer(tmp_path)
    reading, writing = os.pipe()
    syncer.begin([writing], 7)  # a pipe cannot be forced anywhere
    wait_until(lambda: syncer._error is not None)
    with pytest.raises(OSError, match="Invalid argument"):
        syncer.begin([writing], 8)
    assert syncer.durable == 0
    syncer.close()
    os.close(reading)
    os.close(writing)


def test_rows_are_durable_after_a_flush_and_a_sync(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    file = SeriesFile(path, start_of(path), ())
    for row in (0, 1, 4):
        file.write(stored(row))
    file.sync_begin()
    assert file.durable == 0
    file.flush()
    file.sync_begin()
    wait_until(lambda: file.durable == 3)
    file.suspend()
