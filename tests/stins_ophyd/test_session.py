"""Where a session finds its beamline, and what it says where that cannot be; nothing is started here."""

from pathlib import Path

import pytest

from stins import StinsError
from stins.control import NumbersRequest, Region
from stins.daemon import ConfigError
from stins_ophyd import find_detector, load_beamline, open_session
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


def test_a_beamline_file_may_ask_for_numbers_of_each_frame(tmp_path):
    path = tmp_path / "beamline.yaml"
    start = "name: here\ndetectors: {sim: {acquirer: {backend: simulated}, numbers: "
    path.write_text(start + "{keys: [sum], regions: [{name: spot, row: 1, column: 2, rows: 3, columns: 4}]}}}")
    wanted = load_beamline(path).detectors["sim"].wanted_numbers
    assert wanted == NumbersRequest(keys=("sum",), regions=(Region(name="spot", row=1, column=2, rows=3, columns=4),))


@pytest.mark.parametrize(
    ("numbers", "why"),
    [
        ("{keys: [sum, summ]}", ".keys.1: got 'summ': Input should be 'sum', 'mean', 'max' or 'saturated'"),
        ("{keys: []}", ": got no keys, expected some of sum, mean, max, saturated"),
        ("{sums: 1}", ".sums: unknown field; allowed: channels, keys, regions"),
        (
            "{regions: [{name: s, row: 1, column: 1, rows: 0, columns: 2}]}",
            ": region s: got 0 x 2 pixels from (1, 1) on, expected pixels of the frame, one at least",
        ),
        (
            "{regions: [{name: s, row: 1, column: 1, rows: 1, columns: 2, rox: 1}]}",
            ".regions.0.rox: unknown field; allowed: column, columns, name, row, rows",
        ),
    ],
)
def test_what_is_wrong_in_the_numbers_of_a_beamline_file_is_named_alone(beamline, numbers, why):
    beamline.write_text(f"detectors: {{sim: {{acquirer: {{backend: simulated}}, numbers: {numbers}}}}}")
    with pytest.raises(ConfigError) as refused:
        load_beamline(beamline)
    assert str(refused.value).splitlines()[1:] == [f"  detectors.sim.numbers{why}"]


def test_a_beamline_that_is_being_started_is_not_taken_for_one_that_is_there(beamline):
    run_file = RunFile("here")
    run_file.claim()
    with pytest.raises(StinsError, match="'here' is just being started; try again"):
        open_session(beamline)
    with pytest.raises(StinsError, match="'here' is just being started; try again"):
        find_detector("here", "sim")


def test_another_beamline_of_the_same_name_is_not_taken_for_this_one(beamline, tmp_path):
    run_file = RunFile("here")
    run_file.claim()
    run_file.path.write_text(run_file.path.read_text().replace('"detectors"', '"data": "/elsewhere", "detectors"'))
    with pytest.raises(
        StinsError, match=r"'here' runs already, with data below /elsewhere, expected .*/data: it is ano"
    ):
        open_session(beamline)
    with pytest.raises(StinsError, match="Give this one another name in its file, or end that one first"):
        open_session(beamline, tmp_path / "folder")


def test_a_running_beamline_without_the_detector_is_refused_by_name(beamline, tmp_path):
    run_file = RunFile("here")
    run_file.claim()
    data = load_beamline(beamline).data
    content = run_file.path.read_text().replace('"detectors": {}', f'"data": "{data}", "detectors": {{"other": {{}}}}')
    run_file.path.write_text(content)
    with pytest.raises(StinsError, match="beamline 'here' has no detector 'sim'; there are: other"):
        open_session(beamline)
