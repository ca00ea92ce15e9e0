"""New files: whole under their name, or not there; and who writes them."""

import os
from pathlib import Path

import h5py
import pytest
from series_kit import SeriesFile, killed, start_of, stored
from stins_recorder.errors import RecorderError, StorageError
from stins_recorder.storage import claim, create_file, repair, settle


def build(file: h5py.File) -> None:
    file["a"] = 1


def test_a_new_file_is_whole_and_claimed(tmp_path: Path) -> None:
    path = tmp_path / "day" / "a.h5"
    descriptor = create_file(path, build)
    with h5py.File(path) as file:
        assert file["a"][()] == 1
    with pytest.raises(RecorderError, match=r"a\.h5: a recorder is writing it"):
        claim(path)
    with pytest.raises(RecorderError, match="a recorder is writing it"):
        repair(path)
    os.close(descriptor)
    os.close(claim(path))
    settle(path)
    assert os.listdir(path.parent) == ["a.h5"]  # noqa: PTH208


def test_what_stands_under_the_name_is_never_touched(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        create_file(path, build)
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"a.h5": "precious"}


def test_a_link_to_nowhere_under_the_name_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.symlink_to(tmp_path / "elsewhere.h5")
    with pytest.raises(FileExistsError):
        create_file(path, build)
    assert not (tmp_path / "elsewhere.h5").exists()


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(file: h5py.File) -> None:
        raise RecorderError("no")

    with pytest.raises(RecorderError, match="no"):
        create_file(tmp_path / "a.h5", fail)
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_a_file_whose_writer_died_before_its_first_frame_is_free(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    killed(path, "file = SeriesFile(path, start_of(path), ())")
    assert path.exists()
    file = SeriesFile(path, start_of(path), ())
    file.write(stored(0))
    file.suspend()
    assert [each.name for each in tmp_path.iterdir()] == ["a.h5"]


def test_the_name_of_a_file_with_a_frame_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    killed(path, "file = SeriesFile(path, start_of(path), ())\nfile.write(stored(0))\nfile.flush()")
    with pytest.raises(StorageError, match="it stands already, and nothing is ever overwritten"):
        SeriesFile(path, start_of(path), ())
