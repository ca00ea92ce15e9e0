"""`ipython --profile-dir profile_collection` gives a session in which a detector can be counted and flown."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from stins_ophyd import load_beamline
from tests.at_home.services import PROFILE, copied_profile

#: What somebody types, and what a test wants to know of it.
TYPED = """
uid, = RE(count([sim], 2))
flown, = RE(fly_series(sim, 10))
import json, psutil
print(json.dumps({
    "shapes": [list(catalog[run]["primary"]["sim_image"].shape) for run in (uid, flown)],
    "pids": [child.pid for child in psutil.Process().children()],
    "state": RE.state,
    "detectors": list(detectors),
}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ipython")


@pytest.fixture(scope="module")
def typed(folder: Path) -> str:
    """What one session has printed."""
    session = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "IPython", "--profile-dir", copied_profile(folder), "-c", TYPED],
        capture_output=True,
        text=True,
        timeout=150,
        env={
            **os.environ,
            "STINS_FOLDER": str(folder / "session"),
            "XDG_STATE_HOME": str(folder / "state"),
            "MPLBACKEND": "agg",
        },
        check=False,
    )
    assert session.returncode == 0, session.stdout + session.stderr
    return session.stdout


def test_a_session_counts_and_flies(typed, folder):
    said = json.loads(typed.splitlines()[-1])
    assert said["shapes"] == [[2, 512, 512], [10, 512, 512]]
    assert said["state"] == "idle"
    assert said["detectors"] == list(load_beamline(PROFILE / "beamline.yaml").detectors)
    assert json.loads((folder / "session" / "metadata.json").read_text())["scan_id"] == 2
    assert "sim_total" in typed


def test_the_processes_end_with_the_session(typed):
    pids = json.loads(typed.splitlines()[-1])["pids"]
    assert len(pids) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_the_startup_files_are_numbered_and_short():
    for path in (PROFILE / "startup").glob("*.py"):
        assert path.name[:2].isdigit()
        assert len(path.read_text().splitlines()) < 30
