"""What is forced to the disk, and what is known of it."""

import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from recorder_kit import wait_until
from series_kit import SeriesFile, start_of, stored
from stins_recorder.storage import Syncer


def test_durable_is_the_number_of_the_last_sync_that_has_ended(tmp_path: Path) -> None:
    syncer = Syncer(tmp_path)
    descriptor = os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT)
    os.write(descriptor, b"x")
    assert syncer.durable == 0
    syncer.begin([descriptor], 7, 1)
    os.close(descriptor)
    wait_until(lambda: syncer.durable == 7)
    syncer.close()
    syncer.close()


def test_a_sync_that_fails_is_raised_by_the_next(tmp_path: Path) -> None:
    syncer = Syncer(tmp_path)
    reading, writing = os.pipe()
    syncer.begin([writing], 7, 1)  # a pipe cannot be forced anywhere
    wait_until(lambda: syncer._error is not None)
    with pytest.raises(OSError, match="Invalid argument"):
        syncer.begin([writing], 8, 2)
    assert syncer.durable == 0
    syncer.close()
    os.close(reading)
    os.close(writing)


def test_a_sync_that_fails_and_is_the_last_one_is_raised_at_the_end(tmp_path: Path) -> None:
    syncer = Syncer(tmp_path)
    reading, writing = os.pipe()
    syncer.begin([writing], 7, 1)
    with pytest.raises(OSError, match="Invalid argument"):
        syncer.finish()
    syncer.finish()
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


def test_what_cannot_be_forced_to_the_disk_and_comes_beside_the_files_stops_nothing(tmp_path: Path) -> None:
    syncer = Syncer(tmp_path)
    reading, writing = os.pipe()
    descriptor = os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT)
    for number in (1, 2):
        syncer.begin([descriptor], number, number, also=[writing])
        wait_until(lambda number=number: syncer.durable == number)
    syncer.close()
    for each in (reading, writing, descriptor):
        os.close(each)


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[SeriesFile]:
    """A file with ten durable rows."""
    file = SeriesFile(tmp_path / "a.h5", start_of(tmp_path / "a.h5"), ())
    for row in range(10):
        file.write(stored(row))
    made_durable(file, 10)
    yield file
    file.suspend()


def made_durable(file: SeriesFile, rows: int) -> None:
    file.flush()
    file.sync_begin()
    wait_until(lambda: file.durable == rows and file._syncer._request is None)


def test_a_frame_that_is_taken_again_is_not_durable_before_it_is_forced_to_the_disk_itself(durable: SeriesFile) -> None:
    durable.write(msgspec.structs.replace(stored(9), rewound=True))
    assert durable.durable == 9
    durable.flush()
    assert durable.durable == 9
    durable.sync_begin()
    wait_until(lambda: durable.durable == 10)


def test_a_sync_that_is_under_way_when_frames_are_taken_again_does_not_count_them(durable: SeriesFile) -> None:
    durable.write(stored(10))
    durable.flush()
    durable.sync_begin()
    durable.write(msgspec.structs.replace(stored(4), rewound=True))
    assert durable.durable == 4
    wait_until(lambda: durable._syncer._request is None)
    assert durable.durable == 4
    made_durable(durable, 5)


def test_a_frame_that_comes_late_into_its_gap_is_forced_to_the_disk_too(durable: SeriesFile) -> None:
    durable.write(stored(12))
    made_durable(durable, 11)
    durable.write(stored(10))
    made_durable(durable, 12)


def test_what_a_file_system_tells_when_a_file_is_closed_counts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close, failed = os.close, threading.Event()

    def failing(descriptor: int) -> None:
        broken = threading.current_thread().name == "sync" and stat.S_ISREG(os.fstat(descriptor).st_mode)
        close(descriptor)
        if broken:
            failed.set()
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "close", failing)
    syncer = Syncer(tmp_path)
    with (tmp_path / "a").open("wb") as file:
        syncer.begin([file.fileno()], 1, 1)
        assert failed.wait(30)
        with pytest.raises(OSError, match="Input/output error"):
            syncer.finish()
    assert syncer.durable == 0
