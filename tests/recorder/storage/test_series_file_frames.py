"""Frames of every kind, in every order, stand in their rows."""

import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from frame_kinds import FILL, KINDS, Kind, begun, check
from series_kit import DATA, SeriesFile, closed


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture(params=[True, False], ids=["known", "unknown"])
def known(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_frames_in_order_stand_in_their_rows(tmp_path: Path, kind: Kind, known: bool) -> None:
    file = begun(tmp_path, kind, 60 if known else None)
    for row in range(60):
        file.write(kind.frame(row))
    closed(file)
    check(file.path, kind, range(60))


def test_frames_beyond_what_was_expected_are_stored_too(tmp_path: Path, kind: Kind) -> None:
    file = begun(tmp_path, kind, 5)
    for row in range(30):
        file.write(kind.frame(row))
    closed(file)
    check(file.path, kind, range(30))


def test_a_series_that_stops_early_keeps_no_room(tmp_path: Path, kind: Kind) -> None:
    file = begun(tmp_path, kind, 2000)
    for row in range(3):
        file.write(kind.frame(row))
    closed(file)
    check(file.path, kind, range(3))
    pixels = 3 * sum(map(len, kind.content(0)))
    assert file.path.stat().st_blocks * 512 < pixels + (1 << 20)


def test_missing_late_and_retaken_frames(tmp_path: Path, kind: Kind, known: bool) -> None:
    file = begun(tmp_path, kind, 40 if known else None)
    for row in (0, 1, 4, 5, 9):
        file.write(kind.frame(row))
    file.flush()
    file.write(kind.frame(7))  # late
    file.write(kind.frame(4, 104, rewound=True))  # 4 and all behind it are taken again
    file.write(kind.frame(6, 106))
    closed(file)
    check(file.path, kind, [0, 1, None, None, 104, None, 106])


def test_a_retake_that_stops_earlier_leaves_no_row_of_the_first(tmp_path: Path, kind: Kind) -> None:
    file = begun(tmp_path, kind)
    for row in range(8):
        file.write(kind.frame(row))
    file.write(kind.frame(2, 50, rewound=True))
    closed(file)
    check(file.path, kind, [0, 1, 50])


def test_a_wide_gap_is_hidden_not_filled(tmp_path: Path, kind: Kind, known: bool) -> None:
    file = begun(tmp_path, kind, 6000 if known else None)
    for row in (0, 1, 5500, 5501):
        file.write(kind.frame(row))
    closed(file)
    with h5py.File(file.path) as read:
        data = read[DATA]
        assert data == read["/entry/data/data"]
        assert len(data) == 5502
        for row, number in {0: 0, 1: 1, 2: None, 3000: None, 5499: None, 5500: 5500, 5501: 5501}.items():
            np.testing.assert_array_equal(data[row], FILL if number is None else kind.pixels(number))
        assert data.attrs["interpretation"] == "image"
    assert file.path.stat().st_blocks * 512 < 32 << 20


def test_a_series_with_a_hidden_gap_can_go_on(tmp_path: Path) -> None:
    kind = KINDS["small"]
    file = begun(tmp_path, kind)
    for row in (0, 1, 5500):
        file.write(kind.frame(row))
    file.flush()
    checkpoint = file.checkpoint()
    closed(file)
    file = SeriesFile.resume(file.path, kind.start(file.path), checkpoint)
    file.write(kind.frame(2))
    file.write(kind.frame(5501))
    closed(file)
    with h5py.File(file.path) as read:
        for row, number in {1: 1, 2: 2, 3: None, 5500: 5500, 5501: 5501}.items():
            np.testing.assert_array_equal(read[DATA][row], FILL if number is None else kind.pixels(number))


def test_places_from_before_a_cut_are_not_written_to(tmp_path: Path) -> None:
    kind = KINDS["small"]
    file = begun(tmp_path, kind, 400)
    for row in range(10):
        file.write(kind.frame(row))
    file.flush()
    checkpoint = file.checkpoint()
    file.suspend()  # cuts
    file = SeriesFile.resume(file.path, kind.start(file.path), checkpoint)
    assert [run.stop for run in file.checkpoint().growth.runs] == [10]
    for row in range(10, 300):  # extends again, to other places, and nobody is told
        file.write(kind.frame(row))
    file.flush()
    file.abandon()
    file = SeriesFile.resume(file.path, kind.start(file.path), checkpoint)
    for row in range(10, 450):
        file.write(kind.frame(row))
    closed(file)
    check(file.path, kind, range(450))


def test_frames_of_one_size_are_written_past_hdf5(tmp_path: Path) -> None:
    for name in ("small", "modules", "large"):
        folder = tmp_path / name
        folder.mkdir()
        file = begun(folder, KINDS[name], 500)
        file.write(KINDS[name].frame(0))
        (run,) = file.checkpoint().growth.runs
        # HDF5 needs room for its index with the first row.
        assert (run.first, run.stop) == (1, 500)
        file.suspend()


def test_frames_can_be_read_after_a_flush(tmp_path: Path, kind: Kind, known: bool) -> None:
    file = begun(tmp_path, kind, 10 if known else None)
    for row in range(3):
        file.write(kind.frame(row))
    file.flush()
    with h5py.File(file.path, swmr=True, locking=False) as read:
        assert read["/entry/series/rows"][()] == 3
        for row in range(3):
            np.testing.assert_array_equal(read[DATA][row], kind.pixels(row))
        # Axis and signal of the default plot have one length at any time.
        assert len(read[DATA]) == len(read["/entry/data/frame_number"])
    file.suspend()


_READER = """
import sys, h5py
with h5py.File(sys.argv[1], swmr=True) as file:
    print(file["/entry/series/rows"][()], [int(frame.sum()) for frame in file[sys.argv[2]][:3]])
"""


def test_another_process_reads_along_with_locks_of_its_own(tmp_path: Path) -> None:
    kind = KINDS["small"]
    file = begun(tmp_path, kind, 10)
    for row in range(3):
        file.write(kind.frame(row))
    file.flush()
    command = [sys.executable, "-c", _READER, str(file.path), DATA]
    read = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert read.stdout.strip() == f"3 {[int(kind.pixels(row).sum()) for row in range(3)]}"
    file.suspend()


@pytest.mark.skipif(shutil.which("h5dump") is None, reason="h5dump is not there (Debian: hdf5-tools)")
def test_hdf5_1_10_reads_the_file(tmp_path: Path, kind: Kind) -> None:
    if any(part.compression != "none" for part in kind.parts):
        pytest.skip("Debian has no filter for it")
    file = begun(tmp_path, kind, 4)
    for row in (0, 1, 3):
        file.write(kind.frame(row))
    closed(file)
    out = tmp_path / "out.bin"
    command = ["h5dump", "-d", DATA, "-b", "LE", "-o", str(out), str(file.path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    expected = [kind.pixels(0), kind.pixels(1), np.full_like(kind.pixels(0), FILL), kind.pixels(3)]
    assert out.read_bytes() == np.array(expected).tobytes()
    listed = subprocess.run(["h5ls", "-r", str(file.path)], check=True, capture_output=True, timeout=60)
    assert b"/entry/end_time" in listed.stdout
