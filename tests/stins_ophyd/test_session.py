"""Where a session finds its beamline, and what it says where that cannot be; nothing is started here."""

from pathlib import Path

import pytest

from stins import StinsError
from stins_ophyd import load_beamline, open_session
from stins_ophyd.beamline import RunFile


@pytest.fixture(autouse=True)
def no_beamline_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def beamline(tmp_path: Path) -> Path:
    path = tmp_path / "beamline.yaml"
    path.write_text("name: here\ndata: ~/data\ndetectors: {sim: {acquirer: {backend: simulated}}}\n")
    return path


def test_the_data_of_a_beamline_may_stand_in_the_users_home(beamline, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_beamline(beamline).data == tmp_path / "data"


def test_a_beamline_that_is_being_started_is_not_taken_for_one_that_is_there(beamline):
    RunFile("here").claim()
    with pytest.raises(StinsError, match="'here' is just being started; try again"):
        open_session(beamline)


def test_a_running_beamline_without_the_detector_is_refused_by_name(beamline, tmp_path):
    run_file = RunFile("here")
    run_file.claim()
    content = run_file.path.read_text().replace('"detectors": {}', '"data": "/data", "detectors": {"other": {}}')
    run_file.path.write_text(content)
    with pytest.raises(StinsError, match="beamline 'here' has no detector 'sim'; there are: other"):
        open_session(beamline)
