"""Who runs a beamline: a lock that no death leaves behind says it, not the number of a process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stins import StinsError
from stins_ophyd.beamline import RunFile, running_beamlines

CLAIM = "from stins_ophyd.beamline import RunFile; run_file = RunFile('b'); run_file.claim(); print(); input()"


@pytest.fixture(autouse=True)
def nobody_runs_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_a_beamline_is_claimed_once():
    first = RunFile("b")
    first.claim()
    assert running_beamlines() == ["b"]
    with pytest.raises(StinsError, match=rf"the beamline 'b' is up already \(process {os.getpid()} on .*\); end that"):
        RunFile("b").claim()
    first.remove()
    assert running_beamlines() == []
    second = RunFile("b")
    second.claim()
    second.remove()


def test_what_another_runs_is_not_removed():
    first = RunFile("b")
    first.claim()
    RunFile("b").remove()
    assert running_beamlines() == ["b"]
    first.remove()


def test_one_whose_process_was_killed_does_not_run_whoever_has_its_number_now():
    with subprocess.Popen([sys.executable, "-c", CLAIM], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert running_beamlines() == ["b"]
        process.kill()
    left = RunFile("b")
    left.path.write_text(json.dumps({**json.loads(left.path.read_text()), "process": os.getpid()}))
    assert running_beamlines() == []
    with pytest.raises(StinsError, match="no beamline 'b' runs here"):
        left.read()
    left.claim()
    left.remove()


def test_one_that_runs_on_another_computer_is_not_taken_for_one_here():
    """Where both have the same home."""
    run_file = RunFile("b")
    run_file.claim()
    run_file.path.write_text(json.dumps({"process": 1, "host": "elsewhere", "detectors": {}}))
    assert running_beamlines() == []
    with pytest.raises(StinsError, match=r"'b' is up already .*on elsewhere"):
        RunFile("b").claim()
    run_file.remove()


def test_only_this_user_can_read_where_its_processes_are():
    run_file = RunFile("b")
    run_file.claim()
    assert run_file.path.stat().st_mode & 0o777 == 0o600
    run_file.remove()
