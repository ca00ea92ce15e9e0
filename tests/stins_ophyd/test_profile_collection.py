"""The startup files give a session in which a detector can be counted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil

from stins_ophyd import load_beamline

PROFILE = Path(__file__).parent.parent.parent / "profile_collection"

#: What IPython does with them: one after the other, in one namespace.
SESSION = """
import json, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
names = {"__name__": "__main__"}
for path in sorted(Path(sys.argv[1], "startup").glob("*.py")):
    names["__file__"] = str(path)
    exec(compile(path.read_text(), str(path), "exec"), names)
uid, = names["RE"](names["count"]([names["sim"]], 2))
flown, = names["RE"](names["fly_series"](names["sim"], 10))
pids = [process.pid for pair in names["beamline"].detectors.values() for process in pair.processes]
shapes = [list(names["catalog"][run]["primary"]["sim_image"].shape) for run in (uid, flown)]
print(json.dumps({"shapes": shapes, "pids": pids, "state": names["RE"].state, "detectors": list(names["detectors"])}))
"""


def test_the_startup_files_give_a_session_that_can_count_and_fly(tmp_path: Path) -> None:
    session = subprocess.run(
        [sys.executable, "-c", SESSION, str(PROFILE)],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "STINS_FOLDER": str(tmp_path), "MPLBACKEND": "agg"},
        check=False,
    )
    assert session.returncode == 0, session.stderr
    said = json.loads(session.stdout.splitlines()[-1])
    assert said["shapes"] == [[2, 512, 512], [10, 512, 512]]
    assert said["state"] == "idle"
    assert said["detectors"] == list(load_beamline(PROFILE / "beamline.yaml").detectors)
    assert json.loads((tmp_path / "metadata.json").read_text())["scan_id"] == 2
    assert "sim_total" in session.stdout
    assert not any(psutil.pid_exists(pid) for pid in said["pids"])


def test_the_startup_files_are_numbered_and_short() -> None:
    for path in (PROFILE / "startup").iterdir():
        assert path.name[:2].isdigit()
        assert len(path.read_text().splitlines()) < 30
