"""The table of `stins status`, with an acquirer and a recorder that have something to tell."""

import json
import re
from pathlib import Path

import pytest

from stins.control import AcquirerState, AcquirerStatus, RecorderState, RecorderStatus
from stins.daemon import HttpConfig
from stins.daemon.server import ControlServer, StatusBoard
from stins_ophyd.beamline import RunFile
from stins_ophyd.cli import status

WHY = "2 images did not come (the DCU's stream says that it dropped 2): nobody took them in time"
STATUSES = {
    "acquirer": AcquirerStatus(
        name="a", backend="eiger", state=AcquirerState.IDLE, boot_id="b", pid=1, replay=True, series_id="s",
        frames_sent=8, frames_dropped=3, frames_not_given=2, frames_expected=11, drop_reason=WHY,
    ),
    "recorder": RecorderStatus(
        name="r", state=RecorderState.IDLE, boot_id="b", pid=1, restarts=7,
        notes=("the writer (process 3) died", "later"),
    ),
}  # fmt: skip
SIMULATOR = {"simulator": "http://127.0.0.1:8?stream_port=9", "hook": "http://127.0.0.1:8/simulator"}
REFERENCE = Path(__file__).parent.parent.parent / "docs" / "reference" / "commands.md"


@pytest.fixture
def beamline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    servers = {kind: ControlServer(kind, HttpConfig(), StatusBoard(status), []) for kind, status in STATUSES.items()}
    for server in servers.values():
        server.start()
    run_file = RunFile("b7")
    run_file.claim()
    claimed = json.loads(run_file.path.read_text())
    told = {
        "data": "/data",
        "detectors": {"eiger": {kind: server.url for kind, server in servers.items()}},
        "backends": {},
        "simulators": {"eiger": SIMULATOR},
    }
    run_file.path.write_text(json.dumps({**claimed, **told}))
    yield "b7"
    run_file.remove()
    for server in servers.values():
        server.stop()


def test_restarts_and_notes_of_a_recorder_are_shown_with_the_beamlines_name(beamline, capsys):
    assert status.main([beamline]) == 0
    table, _, footer = capsys.readouterr().out.partition("b7 eiger recorder: ")
    assert "restarts" in table
    assert " 7 " in table
    assert footer.splitlines()[:2] == ["note: the writer (process 3) died", "b7 eiger recorder: note: later"]


def test_why_a_detector_lost_frames_is_told_below_the_table_that_counts_them(beamline, capsys):
    assert status.main([beamline]) == 0
    said = capsys.readouterr().out
    assert "8 of 11 sent, 3 dropped (2 not given by the detector)" in said
    assert f"b7 eiger acquirer: drop_reason: {WHY}" in said.splitlines()
    status.main([beamline, "--json"])
    acquirer, recorder = json.loads(capsys.readouterr().out)["processes"]
    assert (acquirer["drop_reason"], recorder["drop_reason"]) == (WHY, "")


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


def test_what_programs_are_told_stands_in_the_reference(beamline, capsys):
    status.main([beamline, "--json"])
    told = json.loads(capsys.readouterr().out)
    names = {*told, *told["processes"][0], *told["simulators"][0]}
    (paragraph,) = (part for part in REFERENCE.read_text().split("\n\n") if part.startswith("`stins status --json`"))
    assert names <= {*re.findall(r"`(\w+)`", paragraph)}
