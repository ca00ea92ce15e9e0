"""Places that HDF5 finds, for frames that we write."""

import os
from collections.abc import Iterator
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
from frame_kinds import Kind, begun, check
from series_kit import DATA, closed
from stins_recorder.storage.driver import file_driver, place
from stins_recorder.storage.hdf5 import options
from stins_recorder.storage.large import LARGE_BYTES

from stins import Part

SHAPE = (1100, 1000)


def noise(number: int) -> "np.ndarray":
    """Pixels that hardly get smaller."""
    return np.random.default_rng(number).integers(0, 50_000 + 1000 * number, SHAPE, "<u2")


def packed(number: int) -> bytes:
    with h5py.File.in_memory() as file:
        dataset = file.create_dataset("d", SHAPE, "<u2", chunks=SHAPE, **hdf5plugin.Bitshuffle())
        dataset[...] = noise(number)
        return dataset.id.read_direct_chunk((0, 0))[1]


LARGE = Kind(
    (Part(name="image", shape=SHAPE, dtype="uint16", compression="bslz4"),),
    lambda number: [packed(number % 7)],
    lambda number: noise(number % 7),
)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[h5py.File]:
    with h5py.File(tmp_path / "a.h5", "x", driver=file_driver(), **options()) as file:
        file.create_dataset("d", (9, 300), "u1", chunks=(1, 300), **hdf5plugin.Bitshuffle())
        file.swmr_mode = True
        yield file


def test_hdf5_says_where_a_chunk_goes_and_writes_all_else(tmp_path: Path, opened: h5py.File) -> None:
    contents = [bytes([row + 1]) * (100 + row) for row in range(9)]
    places = [place(opened["d"].id, (row, 0), content) for row, content in enumerate(contents)]
    opened.flush()
    with (tmp_path / "a.h5").open("r+b") as file:
        for content, where in zip(contents, places, strict=True):
            assert where is not None
            assert os.pread(file.fileno(), len(content), where) != content
            os.pwrite(file.fileno(), content, where)
    with h5py.File(tmp_path / "a.h5", swmr=True, locking=False) as read:
        assert [read["d"].id.read_direct_chunk((row, 0))[1] for row in range(9)] == contents


def test_what_is_not_asked_for_is_written(tmp_path: Path, opened: h5py.File) -> None:
    opened["d"].id.write_direct_chunk((0, 0), b"a" * 100)
    with pytest.raises(TypeError):
        place(opened["d"].id, "nowhere", b"b" * 100)  # type: ignore[arg-type]
    opened["d"].id.write_direct_chunk((1, 0), b"b" * 100)
    opened.flush()
    with h5py.File(tmp_path / "a.h5", swmr=True, locking=False) as read:
        assert [read["d"].id.read_direct_chunk((row, 0))[1] for row in range(2)] == [b"a" * 100, b"b" * 100]


def test_in_a_file_of_another_driver_hdf5_writes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "b.h5", "x", **options()) as file:
        dataset = file.create_dataset("d", (2, 300), "u1", chunks=(1, 300), **hdf5plugin.Bitshuffle())
        assert place(dataset.id, (1, 0), b"b" * 100) is None
        assert dataset.id.read_direct_chunk((1, 0))[1] == b"b" * 100


@pytest.mark.parametrize("per_file", [None, 4])
@pytest.mark.parametrize("expected", [None, 10])
def test_large_compressed_frames_stand_as_they_came(tmp_path: Path, expected: int | None, per_file: int | None) -> None:
    assert len(packed(0)) > LARGE_BYTES
    file = begun(tmp_path, LARGE, expected, per_file)
    order = [0, 1, 2, 4, 5, 6, 3, 8]
    for row in order:
        file.write(LARGE.frame(row))
    file.flush()
    with h5py.File(file.path, swmr=True, locking=False) as read:
        for row in order:
            np.testing.assert_array_equal(read[DATA][row], LARGE.pixels(row))
    file.write(LARGE.frame(8, 3))  # taken again
    file.write(LARGE.frame(8, 8))
    file.write(LARGE.frame(9))
    closed(file)
    check(file.path, LARGE, [*range(7), None, 8, 9])
    if per_file is None:
        with h5py.File(file.path) as read:
            chunks = [read[DATA].id.read_direct_chunk((row, 0, 0))[1] for row in order]
            assert chunks == [packed(row % 7) for row in order]


def test_large_compressed_frames_leave_no_room_behind(tmp_path: Path) -> None:
    file = begun(tmp_path, LARGE, 500)
    for row in range(5):
        file.write(LARGE.frame(row))
    closed(file)
    size = file.path.stat()
    frames = sum(len(packed(row)) for row in range(5))
    assert frames < size.st_size < frames + (4 << 20)
    assert size.st_blocks * 512 < frames + (4 << 20)
