"""HDF5 1.10, as Debian has it, reads what a recorder leaves: whole, in parts, with gaps, salvaged, while it runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from frame_kinds import FILL, KINDS, Kind, begun
from series_kit import DATA, DETECTOR, SeriesFile, closed
from stins_recorder.salvage.process import Order
from stins_recorder.salvage.work import salvage

pytestmark = pytest.mark.skipif(shutil.which("h5dump") is None, reason="h5dump is not there (Debian: hdf5-tools)")

TINY = KINDS["tiny"]
NUMBERS = f"{DETECTOR}/sequence_number"


def old(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def dumped(path: Path, dataset: str, folder: Path) -> bytes:
    """What h5dump reads of a dataset."""
    out = folder / "out.bin"
    old("h5dump", "-d", dataset, "-b", "LE", "-o", str(out), str(path))
    return out.read_bytes()


def pixels(*shown: int | None) -> bytes:
    """What so many frames are; None is a missing one."""
    fill = np.full_like(TINY.pixels(0), FILL)
    return np.array([fill if number is None else TINY.pixels(number) for number in shown]).tobytes()


def recorded(folder: Path, rows: list[int], per_file: int | None = None, kind: Kind = TINY) -> SeriesFile:
    file = begun(folder, kind, None, per_file)
    for row in rows:
        file.write(kind.frame(row))
    return file


def test_a_series_in_several_files_is_read_as_one(tmp_path: Path) -> None:
    file = recorded(tmp_path, [0, 1, 3, 4, 5, 6, 7, 8, 9], per_file=4)
    closed(file)
    assert dumped(file.path, DATA, tmp_path) == pixels(0, 1, None, *range(3, 10))
    assert dumped(tmp_path / "a_data_000003.h5", "/entry/data/data", tmp_path) == pixels(8, 9)


def test_a_gap_that_is_hidden_reads_as_missing(tmp_path: Path) -> None:
    file = recorded(tmp_path, [0, 1, 6000])
    file.flush()
    closed(file)
    with h5py.File(file.path) as read:
        assert read[DATA].is_virtual
    assert dumped(file.path, DATA, tmp_path) == pixels(0, 1, *[None] * 5998, 6000)


def test_of_compressed_frames_all_is_read_but_the_pixels(tmp_path: Path) -> None:
    kind = KINDS["bslz4"]
    file = recorded(tmp_path, [0, 1, 2], kind=kind)
    closed(file)
    assert dumped(file.path, NUMBERS, tmp_path) == np.arange(3, dtype="<u8").tobytes()
    header = old("h5dump", "-H", "-p", "-d", DATA, str(file.path))
    assert "( 3, 128, 130 )" in header
    assert "FILTER_ID 32008" in header


@pytest.mark.parametrize("per_file", [None, 2])
def test_a_file_that_was_salvaged_is_read(tmp_path: Path, per_file: int | None) -> None:
    left = tmp_path / "left"
    left.mkdir()
    file = recorded(tmp_path, [0, 2, 3, 4], per_file)
    file.flush()
    for path in tmp_path.glob("*.h5"):
        shutil.copy(path, left)
    file.abandon()
    assert salvage(Order(str(left / "a.h5"), "its recorder died", given_up=False)).found == "salvaged"
    assert dumped(left / "a.h5", DATA, tmp_path) == pixels(0, None, 2, 3, 4)
    assert "/entry/end_time" in old("h5ls", "-r", str(left / "a.h5"))


#: Debian's tools open no file that is being written; their library does.
_READER = """
import ctypes, sys
lib, path, name = ctypes.CDLL(sys.argv[1]), sys.argv[2].encode(), sys.argv[3].encode()
for call in "H5Fopen H5Dopen2 H5Dget_space".split():
    getattr(lib, call).restype = ctypes.c_int64
i64 = ctypes.c_int64
lib.H5open()
file = lib.H5Fopen(path, ctypes.c_uint(0x40), i64(0))  # H5F_ACC_SWMR_READ
dataset = lib.H5Dopen2(i64(file), name, i64(0))
size = (ctypes.c_uint64 * 3)()
lib.H5Sget_simple_extent_dims(i64(lib.H5Dget_space(i64(dataset))), size, None)
pixels = (ctypes.c_uint16 * (size[0] * size[1] * size[2]))()
uint16 = i64.in_dll(lib, "H5T_NATIVE_UINT16_g")
assert lib.H5Dread(i64(dataset), uint16, i64(0), i64(0), i64(0), pixels) >= 0
sys.stdout.buffer.write(bytes(pixels))
"""


@pytest.mark.parametrize("per_file", [None, 2])
def test_a_file_that_is_being_written_is_read(tmp_path: Path, per_file: int | None) -> None:
    library = re.search(r"\S*/libhdf5\S*", old("ldd", shutil.which("h5dump") or ""))
    if library is None:
        pytest.skip("h5dump has its library in itself")
    file = recorded(tmp_path, [0, 1, 2], per_file)
    file.flush()
    command = [sys.executable, "-c", _READER, library[0], str(file.path), DATA]
    without_locks = os.environ | {"HDF5_USE_FILE_LOCKING": "FALSE"}
    read = subprocess.run(command, check=True, capture_output=True, timeout=60, env=without_locks)
    assert read.stdout.startswith(pixels(0, 1, 2))
    file.suspend()
