"""The file of numbers where something stands in its place."""

from pathlib import Path

import h5py
import pytest
from stins_recorder.errors import RecorderError
from stins_recorder.numbers.reading import flags_of
from stins_recorder.numbers.sidecar import Sidecar
from stins_recorder.series.asked import Asked

from stins.control import NumbersRequest

ASKED = Asked(NumbersRequest(keys=("sum",)), "ours")


def test_a_file_that_another_program_writes_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "scan_numbers.h5"
    with h5py.File(path, "w", libver=("v110", "v110"), locking=False) as file:
        file.attrs["series_mark"] = "another"
        file.swmr_mode = True
        file.flush()
        before = path.read_bytes()
        with pytest.raises(RecorderError, match="of another series"):
            Sidecar(path, ASKED)
        assert flags_of(path) == 5
        assert path.read_bytes() == before


def test_one_that_a_process_before_still_has_says_so(tmp_path: Path) -> None:
    path = tmp_path / "scan_numbers.h5"
    before = Sidecar(path, ASKED)
    with pytest.raises(RecorderError, match="the process that computed them before still has it"):
        Sidecar(path, ASKED)
    before.close()
    Sidecar(path, ASKED).close()


def test_the_name_it_is_made_under_does_not_stay_whenever_it_was_killed(tmp_path: Path) -> None:
    path, made = tmp_path / "scan_numbers.h5", tmp_path / ".scan_numbers.h5.new"
    Sidecar(path, ASKED).close()
    made.hardlink_to(path)  # as it stands when its writer is killed right behind its creation
    Sidecar(path, ASKED).close()
    assert not made.exists()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere, path = tmp_path / "elsewhere.h5", tmp_path / "scan_numbers.h5"
    ours = Sidecar(elsewhere, ASKED)
    ours.close()
    path.symlink_to(elsewhere)
    with pytest.raises(RecorderError, match="symbolic link"):
        Sidecar(path, ASKED)


def test_what_a_killed_process_has_left_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "scan_numbers.h5"
    Sidecar(path, ASKED).close()
    with path.open("r+b") as file:
        whole = file.read()
    with h5py.File(path, "r+", libver=("v110", "v110"), locking=False) as file:
        file.swmr_mode = True
        left = path.read_bytes()  # as it stands when its writer is killed
    assert left != whole
    path.write_bytes(left)
    assert flags_of(path) == 5
    again = Sidecar(path, ASKED)
    assert again.rows == 0
    again.close()
