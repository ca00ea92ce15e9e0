"""Changes of a closed file: all or nothing, wherever they are cut off."""

import os
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from stins_recorder.storage import change, repair
from stins_recorder.storage.hdf5 import options
from stins_recorder.storage.transaction import prepare, redo


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.h5"
    with h5py.File(path, "x", **options()) as file:
        file.create_dataset("rows", data=np.arange(5000), maxshape=(None,), chunks=(10,))
        file.create_group("series")["id"] = "s1"
    return path


@pytest.fixture
def descriptor(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR)
    yield descriptor
    os.close(descriptor)


def add_account(file: h5py.File) -> None:
    file["rows"].resize((100,))
    file["series/received"] = 7
    file["series/missing"] = np.arange(10_000)


def before(file: h5py.File) -> bool:
    return "received" not in file["series"] and len(file["rows"]) == 5000


def after(file: h5py.File) -> bool:
    return bool(file["series/received"][()] == 7) and len(file["rows"]) == 100 and file["series/missing"][9999] == 9999


@pytest.mark.parametrize("synced", [True, False])
def test_a_change_stands_in_the_file(path: Path, descriptor: int, synced: bool) -> None:
    change(descriptor, add_account, synced=synced)
    with h5py.File(path) as file:
        assert after(file)
        np.testing.assert_array_equal(file["rows"], np.arange(100))
    assert repair(path) is False


def test_a_change_that_fails_changes_nothing(path: Path, descriptor: int) -> None:
    content = path.read_bytes()

    def fail(file: h5py.File) -> None:
        add_account(file)
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  # its own
        change(descriptor, fail, synced=True)
    assert path.read_bytes() == content


def outcome(path: Path) -> bool:
    """Whether the change is done in the file, which is whole; else it is as it was."""
    repair(path)
    with h5py.File(path) as file:
        if before(file):
            return False
        assert after(file)
        return True


def test_a_record_that_is_cut_off_is_nothing(path: Path, descriptor: int) -> None:
    record = prepare(descriptor, add_account)
    for length in (1, 20, len(record.content) // 2, len(record.content) - 1):
        os.pwrite(descriptor, record.content[:length], record.place)
        assert not outcome(path)
        os.ftruncate(descriptor, record.place)


@pytest.mark.parametrize("torn", [False, True], ids=["between writes", "in a write"])
def test_a_change_with_a_record_is_done_wherever_it_is_cut_off(path: Path, descriptor: int, torn: bool) -> None:
    record, old = prepare(descriptor, add_account), path.read_bytes()
    pieces = list(record.pieces())
    assert len(pieces) > 10
    for cut in range(len(pieces)):
        path.write_bytes(old)
        os.pwrite(descriptor, record.content, record.place)
        for offset, content in pieces[:cut]:
            os.pwrite(descriptor, content, offset)
        if torn:
            offset, content = pieces[cut]
            os.pwrite(descriptor, content[: len(content) // 2], offset)
        assert outcome(path)
        assert path.stat().st_size == record.size


def test_without_a_record_nothing_is_redone(path: Path, descriptor: int) -> None:
    content = path.read_bytes()
    assert redo(descriptor) is False
    assert path.read_bytes() == content
