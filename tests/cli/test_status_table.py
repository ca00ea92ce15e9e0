"""The table of `stins status`, with a recorder that has something to tell."""

import json
from pathlib import Path

import pytest

from stins.control import RecorderState, RecorderStatus
from stins.daemon import HttpConfig
from stins.daemon.server import ControlServer, StatusBoard
from stins_ophyd.beamline import RunFile
from stins_ophyd.cli import status

STATUS = RecorderStatus(
    name="r", state=RecorderState.IDLE, boot_id="b", pid=1, restarts=7, notes=("the writer (process 3) died", "later")
)
SIMULATOR = {"simulator": "http://127.0.0.1:8?stream_port=9", "hook": "http://127.0.0.1:8/simulator"}


@pytest.fixture
def beamline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    server = ControlServer("r", HttpConfig(), StatusBoard(STATUS), [])
    server.start()
    run_file = RunFile("b7")
    run_file.claim()
    claimed = json.loads(run_file.path.read_text())
    told = {
        "data": "/data",
        "detectors": {"eiger": {"recorder": server.url}},
        "backends": {},
        "simulators": {"eiger": SIMULATOR},
    }
    run_file.path.write_text(json.dumps({**claimed, **told}))
    yield "b7"
    run_file.remove()
    server.stop()


def test_restarts_and_notes_of_a_recorder_are_shown_with_the_beamlines_name(beamline, capsys):
    assert status.main([beamline]) == 0
    table, _, footer = capsys.readouterr().out.partition("b7 eiger recorder: ")
    assert "restarts" in table
    assert " 7 " in table
    assert footer.splitlines()[:2] == ["note: the writer (process 3) died", "b7 eiger recorder: note: later"]


def test_a_simulator_is_shown_as_check_takes_it_with_its_hook(beamline, capsys):
    status.main([beamline])
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "b7 eiger simulator: ask it with: stins check 'http://127.0.0.1:8?stream_port=9'",
        "b7 eiger simulator: hook: http://127.0.0.1:8/simulator",
    ]
    status.main([beamline, "--json"])
    told = json.loads(capsys.readouterr().out)["simulators"]
    assert told == [{"beamline": "b7", "detector": "eiger", **SIMULATOR}]


def test_a_beamline_that_is_just_being_started_is_told_from_one_that_is_up(beamline, capsys):
    starting = RunFile("b8")
    starting.claim()
    assert status.main(["b8"]) == 1
    assert capsys.readouterr().out == "b8: is just being started; its processes are shown once all of them have\n"
    assert status.main(["--json"]) == 1
    assert json.loads(capsys.readouterr().out)["starting"] == ["b8"]
    assert status.main([beamline]) == 0
    starting.remove()
