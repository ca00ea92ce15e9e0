"""The superblock of a file whose writer has died."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from stins_recorder.errors import RecorderError, StorageError
from stins_recorder.storage import read_superblock, repair
from stins_recorder.storage.superblock import lookup3

#: Writes 40 frames, flushes after 30, and waits to be killed.
_WRITER = """
import sys, h5py, numpy as np
file = h5py.File(sys.argv[1], "x", libver=("v110", "v110"), locking=False)
data = file.create_dataset("data", (0, 8), "<u2", maxshape=(None, 8), chunks=(1, 8))
file.swmr_mode = True
for row in range(40):
    data.resize(row + 1, axis=0)
    data[row] = row
    if row == 29:
        file.flush()
print("written", flush=True)
sys.stdin.read()
"""


def killed(path: Path) -> Path:
    """The file of a writer that was killed."""
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        writer.send_signal(signal.SIGKILL)
    return path


def closed(path: Path) -> Path:
    with h5py.File(path, "x", libver=("v110", "v110")) as file:
        file["data"] = np.arange(5)
    return path


@pytest.mark.parametrize(
    ("content", "checksum"),
    [
        (b"", 0xDEADBEEF),
        # Values of the author's own driver.
        (b"Four score and seven years ago", 0x17770551),
    ],
)
def test_the_checksum_is_that_of_lookup3(content: bytes, checksum: int) -> None:
    assert lookup3(content) == checksum


def test_the_superblock_of_a_closed_file_is_read_as_intact(tmp_path: Path) -> None:
    path = closed(tmp_path / "a.h5")
    block = read_superblock(path.read_bytes()[:64], path)
    assert (block.version, block.flags, block.intact) == (3, 0, True)
    assert block.end_of_file == path.stat().st_size


def test_a_killed_file_opens_for_reading_and_for_writing_after_repair(tmp_path: Path) -> None:
    path = killed(tmp_path / "a.h5")
    with pytest.raises(OSError, match="already open for write"):
        h5py.File(path, "r")
    assert repair(path) is True
    with h5py.File(path, "r") as file:
        np.testing.assert_array_equal(file["data"][:30, 0], range(30))
    with h5py.File(path, "r+", libver=("v110", "v110"), locking=False) as file:
        file["data"].resize(31, axis=0)
        file["data"][30] = 77
    with h5py.File(path, "r") as file:
        np.testing.assert_array_equal(file["data"][:, 0], [*range(30), 77])


def test_a_healthy_or_repaired_file_is_left_as_it_is(tmp_path: Path) -> None:
    for path in (closed(tmp_path / "a.h5"), killed(tmp_path / "b.h5")):
        repair(path)
        before = path.read_bytes()
        assert repair(path) is False
        assert path.read_bytes() == before


def test_a_superblock_that_was_half_written_is_repaired(tmp_path: Path) -> None:
    path = closed(tmp_path / "a.h5")
    with path.open("r+b") as file:
        # The flag is of the newer one, the checksum of the older one.
        os.pwrite(file.fileno(), b"\x05", 11)
    assert repair(path) is True
    with h5py.File(path, "r") as file:
        assert file["data"][:].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("content", [b"", b"no HDF5 at all" * 10, b"\x89HDF\r\n\x1a\n\0" + bytes(100)])
def test_what_no_recorder_wrote_is_refused_untouched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    with pytest.raises(RecorderError, match="expected"):
        repair(path)
    assert path.read_bytes() == content


def test_a_file_that_is_not_there_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"repair .*a\.h5: the file or its folder is gone"):
        repair(tmp_path / "a.h5")
