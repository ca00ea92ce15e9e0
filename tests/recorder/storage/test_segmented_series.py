"""A series in several data files reads as if it stood in one."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from frame_kinds import KINDS, Kind, begun, check
from msgspec import UNSET
from recorder_kit import Desk, balanced
from series_kit import DATA, SeriesFile, closed
from stins_recorder.errors import PathError, RecorderError, StorageError
from stins_recorder.layout import frame_layout
from stins_recorder.segments import Segments, refuse_standing
from stins_recorder.storage import claim
from stins_recorder.storage.segment_file import SegmentFile

from stins import Part
from stins.control import SeriesState

PER_FILE = 7


@pytest.fixture(params=["tiny", "bslz4", "modules"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture(params=[True, False], ids=["known", "unknown"])
def known(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def data_files(folder: Path) -> dict[str, int]:
    """Their names, and how many frames each has; each is closed."""
    lengths = {}
    for path in sorted(folder.glob("a_data_*.h5")):
        with h5py.File(path) as file:
            lengths[path.name] = len(file["/entry/data/data"])
    return lengths


def test_each_data_file_has_its_frames_and_the_series_shows_all(tmp_path: Path, kind: Kind, known: bool) -> None:
    file = begun(tmp_path, kind, 17 if known else None, PER_FILE)
    for row in range(17):
        file.write(kind.frame(row))
    closed(file)
    check(file.path, kind, range(17))
    assert data_files(tmp_path) == {"a_data_000001.h5": 7, "a_data_000002.h5": 7, "a_data_000003.h5": 3}
    with h5py.File(file.path) as read:
        assert read[DATA] == read["/entry/data/data"]
        assert read[DATA].attrs["interpretation"] == "image"
        assert read["/entry/series/frames_per_file"][()] == PER_FILE


def test_a_data_file_that_the_series_has_passed_is_closed(tmp_path: Path, kind: Kind) -> None:
    file = begun(tmp_path, kind, 17, PER_FILE)
    for row in range(8):
        file.write(kind.frame(row))
    with h5py.File(tmp_path / "a_data_000001.h5") as passed:
        np.testing.assert_array_equal(passed["/entry/data/data"][6], kind.pixels(6))
    file.suspend()


def test_missing_late_and_retaken_frames_of_several_files(tmp_path: Path, kind: Kind, known: bool) -> None:
    file = begun(tmp_path, kind, 40 if known else None, PER_FILE)
    for row in (0, 1, 30, 31):  # rows 7 to 27 have no file
        file.write(kind.frame(row))
    file.flush()
    file.write(kind.frame(3))  # late, and in a file that is closed
    file.write(kind.frame(9))  # late, and in one that is not there
    file.write(kind.frame(32))
    file.write(kind.frame(10, 110, rewound=True))  # 10 and all behind it are taken again
    file.write(kind.frame(15, 115))
    closed(file)
    check(file.path, kind, [0, 1, None, 3, *[None] * 5, 9, 110, *[None] * 4, 115])
    assert data_files(tmp_path) == {"a_data_000001.h5": 7, "a_data_000002.h5": 7, "a_data_000003.h5": 2}


def test_more_frames_than_were_expected_are_shown_in_the_end(tmp_path: Path) -> None:
    kind = KINDS["tiny"]
    file = begun(tmp_path, kind, 5, PER_FILE)
    for row in range(16):
        file.write(kind.frame(row))
    closed(file)
    check(file.path, kind, range(16))


def test_files_beyond_those_that_are_shown_ahead_are_shown_in_the_end(tmp_path: Path) -> None:
    kind, rows = KINDS["tiny"], Segments(1, "").shown(0) + 2
    file = begun(tmp_path, kind, None, 1)
    for row in range(rows):
        file.write(kind.frame(row))
    file.flush()
    closed(file)
    check(file.path, kind, range(rows))


@pytest.mark.parametrize("flushed", [5, 7, 10, 14])
def test_a_killed_series_goes_on_in_its_data_files(tmp_path: Path, kind: Kind, known: bool, flushed: int) -> None:
    rows = 20 if known else None
    file = begun(tmp_path, kind, rows, PER_FILE)
    for row in range(flushed):
        file.write(kind.frame(row))
    file.flush()
    checkpoint = file.checkpoint()
    for row in range(flushed, 16):  # nobody is told of these
        file.write(kind.frame(row, row + 50))
    file.abandon()
    file = SeriesFile.resume(file.path, kind.start(file.path), checkpoint)
    for row in range(flushed, 20):
        file.write(kind.frame(row))
    closed(file)
    check(file.path, kind, range(20))
    assert data_files(tmp_path) == {"a_data_000001.h5": 7, "a_data_000002.h5": 7, "a_data_000003.h5": 6}


def test_a_killed_series_that_ends_at_once_has_no_data_file_too_many(tmp_path: Path, kind: Kind) -> None:
    file = begun(tmp_path, kind, 20, PER_FILE)
    for row in range(10):
        file.write(kind.frame(row))
    file.flush()
    checkpoint = file.checkpoint()
    for row in range(10, 20):
        file.write(kind.frame(row))
    file.abandon()
    file = SeriesFile.resume(file.path, kind.start(file.path), checkpoint)
    closed(file)
    check(file.path, kind, range(10))
    assert data_files(tmp_path) == {"a_data_000001.h5": 7, "a_data_000002.h5": 3}


def test_a_suspended_series_is_readable_by_anybody_and_goes_on(tmp_path: Path, kind: Kind, known: bool) -> None:
    file = begun(tmp_path, kind, 20 if known else None, PER_FILE)
    for row in range(9):
        file.write(kind.frame(row))
    file.flush()
    checkpoint = file.checkpoint()
    file.suspend()
    check(file.path, kind, range(9))
    file = SeriesFile.resume(file.path, kind.start(file.path, frames_expected=20), checkpoint)
    for row in range(9, 20):
        file.write(kind.frame(row))
    closed(file)
    check(file.path, kind, range(20))


_READER = """
import sys, h5py, hdf5plugin
with h5py.File(sys.argv[1], swmr=True) as file:
    rows, frames = file["/entry/series/rows"], file[sys.argv[2]]
    for line in sys.stdin:
        rows.refresh()
        frames.refresh()
        print(int(rows[()]), int(frames[int(line)].sum()), flush=True)
"""


def test_another_process_reads_along_from_file_to_file(tmp_path: Path, kind: Kind, known: bool) -> None:
    file = begun(tmp_path, kind, 20 if known else None, PER_FILE)
    file.write(kind.frame(0))
    file.flush()
    command = [sys.executable, "-c", _READER, str(file.path), DATA]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        for row in range(1, 16):
            file.write(kind.frame(row))
            file.flush()
            print(row, file=reader.stdin, flush=True)
            assert reader.stdout.readline().split() == [str(row + 1), str(int(kind.pixels(row).sum()))]
        reader.stdin.close()
    file.suspend()


def test_a_data_file_in_the_way_of_a_series_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    refuse_standing(path)
    for other in ("a_data_x.h5", "aa_data_000001.h5", "a_data_000001.txt"):
        (tmp_path / other).touch()
    refuse_standing(path)
    (tmp_path / "a_data_000004.h5").touch()
    with pytest.raises(PathError, match=r"a_data_000004\.h5 stands already, and nothing is ever overwritten"):
        refuse_standing(path)


def test_a_data_file_of_somebody_else_is_never_touched(tmp_path: Path) -> None:
    kind = KINDS["tiny"]
    file = begun(tmp_path, kind, 20, PER_FILE)
    for row in range(PER_FILE):
        file.write(kind.frame(row))
    other = tmp_path / "a_data_000002.h5"
    other.write_bytes(b"mine")
    with pytest.raises(StorageError, match=r"/a_data_000002\.h5: it stands already"):
        file.write(kind.frame(PER_FILE))
    file.flush()
    closed(file)
    check(file.path, kind, range(PER_FILE))
    assert other.read_bytes() == b"mine"


def test_a_data_file_of_another_series_is_not_gone_on_with(tmp_path: Path) -> None:
    kind = KINDS["tiny"]
    files = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        files.append(begun(tmp_path / name, kind, 20, PER_FILE))
        files[-1].write(kind.frame(0))
        files[-1].flush()
    checkpoint = files[0].checkpoint()
    for file in files:
        file.abandon()
    (tmp_path / "two/a_data_000001.h5").replace(tmp_path / "one/a_data_000001.h5")
    file = SeriesFile.resume(files[0].path, kind.start(files[0].path), checkpoint)
    with pytest.raises(RecorderError, match="it belongs to another series"):
        file.write(kind.frame(1))
    file.abandon()


@pytest.mark.parametrize("gone", ["a_data_000001.h5", "a_data_000002.h5"])
def test_a_data_file_that_was_removed_is_missed(tmp_path: Path, gone: str) -> None:
    kind = KINDS["tiny"]
    file = begun(tmp_path, kind, 20, PER_FILE)
    for row in range(10):
        file.write(kind.frame(row))
    file.flush()
    (tmp_path / gone).unlink()
    with pytest.raises(StorageError, match=rf"{gone}: the file or its folder is gone"):
        closed(file)


def test_a_series_for_which_there_is_no_room_fails_before_its_first_frame(tmp_path: Path) -> None:
    # 2 GiB each, 2^50 bytes in all: no disk has them. The pixels are never looked at.
    parts = (Part(name="image", shape=(1 << 15, 1 << 15), dtype="uint16"),)
    kind = Kind(parts, content=lambda _: [b""], pixels=lambda _: np.empty(0))
    file = begun(tmp_path, kind, 1 << 19, 1000)
    with pytest.raises(StorageError, match="no space is left"):
        file.write(kind.frame(0))
    assert data_files(tmp_path) == {}
    file.abandon()


def test_a_data_file_that_could_not_be_begun_is_claimed_by_nobody(tmp_path: Path) -> None:
    kind, path = KINDS["tiny"], tmp_path / "a_data_000001.h5"
    layout = frame_layout(kind.parts, UNSET)
    with pytest.raises(OverflowError):  # it is there, and cannot be opened with an index of that size
        SegmentFile.create(path, "mark", layout, [["image"]], most=1 << 62, expected=0)
    os.close(claim(path))


def test_data_files_may_have_no_frame_that_counts(tmp_path: Path) -> None:
    kind = KINDS["tiny"]
    file = begun(tmp_path, kind, None, PER_FILE)
    for row in range(20):
        file.write(kind.frame(row))
    file.write(kind.frame(2, 102, rewound=True))
    closed(file)
    check(file.path, kind, [0, 1, 102])
    assert data_files(tmp_path) == {"a_data_000001.h5": 3}


@pytest.mark.parametrize("again", [True, False])
def test_frames_that_a_full_disk_keeps_from_a_file_that_is_left_are_not_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    # Some of the first file's frames are not flushed when the first of the next file comes.
    part = Part(name="image", shape=(128, 128), dtype="uint16")
    pixels = [np.full((128, 128), number, np.uint16) for number in range(11)]
    desk = Desk(tmp_path, frames_per_file=10)
    desk.start(data=(part,))
    for number in range(10):
        desk.frame(number, pixels[number].tobytes(), data=(part,))
        if number == 5:
            desk.recording.flush()
    write, failures = os.pwritev, []

    def full(*arguments: Any) -> int:
        if again or not failures:
            failures.append(1)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(*arguments)

    monkeypatch.setattr(os, "pwritev", full)
    desk.frame(10, pixels[10].tobytes(), data=(part,))
    desk.end()
    assert failures
    series = balanced(desk.account)
    there = 6 if again else 10
    assert series.state is SeriesState.FAILED
    assert (series.written, series.missing_frames) == (there, ((there, 10),))
    with h5py.File(desk.path) as file:
        assert (file[DATA][:there] == np.array(pixels[:there])).all()


def test_a_series_is_not_closed_without_a_data_file_that_is_no_longer_its_own(tmp_path: Path, kind: Kind) -> None:
    file = begun(tmp_path, kind, None, PER_FILE)
    for row in range(PER_FILE + 1):
        file.write(kind.frame(row))
    file.flush()
    # The first data file is closed. It is the last that counts, once the frame behind it is taken back.
    file.rewind(PER_FILE)
    with h5py.File(tmp_path / "a_data_000001.h5", "w") as foreign:
        foreign["x"] = 1
    with pytest.raises(StorageError, match=r"a_data_000001\.h5 cannot be closed, or is another series' file"):
        closed(file)
