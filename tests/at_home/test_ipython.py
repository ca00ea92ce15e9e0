"""`ipython --profile-dir profile_collection`: what somebody types there, and what is shown."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from stins_ophyd import load_beamline
from stins_ophyd.plans import __all__ as our_plans
from tests.at_home.services import PROFILE, copied_profile

TUTORIAL = PROFILE.parent / "docs" / "tutorials" / "your-own-profile.md"

#: What is typed of ours, without an import.
NAMES = [*our_plans, "fly_run", "TriggerInfo", "DetectorTrigger"]
TYPED = """
uid, = RE(count([sim], 2))
flown, = RE(fly_series(sim, 40))
RE(look_and_fly(sim, 5))
%ct
%stins
%last
%frame
display(sim)
def refuse(line):
    try:
        get_ipython().run_line_magic("frame", line)
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
refuse("nobody")
refuse("sim 7")
refuse("sim x")
RE(take_live(sim, 3))
refuse("sim")
get_ipython().run_cell("RE(count_series(sim, exposure_s=-1))")
get_ipython().run_cell("sim.exposure_s.set(-1).wait()")
get_ipython().run_cell("sim.frames.put(0)")
get_ipython().run_cell("catalog['zzzz']")
print("WHOLE")
get_ipython().run_line_magic("tb", "")
print("SHORT")
old = sim.controller.snapshot.recorder.pid
psutil.Process(old).kill()
deadline = time.monotonic() + 30
while time.monotonic() < deadline and ((now := sim.controller.snapshot.recorder) is None or now.pid == old):
    time.sleep(0.1)
again, = RE(count([sim]))
print(json.dumps({
    "again": catalog[again].metadata["stop"]["exit_status"],
    "shapes": [list(catalog[run]["primary"]["sim_image"].shape) for run in (uid, flown)],
    "start": catalog[uid].metadata["start"],
    "pids": [child.pid for child in psutil.Process().children()],
    "detectors": list(detectors),
    "state": RE.state,
    "nested": IPython.lib.pretty.pretty([sim]),
    "html": sim._repr_html_(),
    "pictures": {path: imread(path).ndim for path in glob.glob(f"{tempfile.gettempdir()}/stins-frames-*/*.png")},
    "controller": repr(sim.controller),
    "names": [name for name in plans if callable(globals().get(name))],
}))
"""


class Session:
    """One session of IPython with a copy of the profile, to which the tutorial's plan was added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        profile = copied_profile(folder)
        (plan,) = re.findall(r"```python\n(.*?)```", TUTORIAL.read_text(), re.DOTALL)
        (profile / "startup" / "91-ours.py").write_text(plan)
        session = subprocess.run(
            [sys.executable, "-m", "IPython", "--profile-dir", profile, "-c", self._typed()],
            capture_output=True,
            text=True,
            timeout=150,
            env={
                **os.environ,
                "STINS_FOLDER": str(folder / "session"),
                "XDG_STATE_HOME": str(folder / "state"),
                "TMPDIR": str(folder),
                "MPLBACKEND": "agg",
            },
            check=False,
        )
        self.printed, self.errors = session.stdout, session.stderr
        assert session.returncode == 0, self.printed + self.errors
        self.said = json.loads(self.printed.splitlines()[-1])

    def _typed(self) -> str:
        imports = "import glob, IPython, json, psutil, tempfile, time\nfrom matplotlib.image import imread"
        return f"{imports}\nplans = {NAMES!r}\n{TYPED}"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return Session(tmp_path_factory.mktemp("ipython"))


def test_runengine_catalogue_and_the_detectors_of_the_beamline_file_are_there(session):
    assert session.said["shapes"] == [[2, 512, 512], [40, 512, 512]]
    assert session.said["state"] == "idle"
    assert session.said["detectors"] == list(load_beamline(PROFILE / "beamline.yaml").detectors)
    assert session.said["names"] == NAMES
    # Count, series, the two runs of the tutorial's plan, and the last count; what %ct takes is not counted.
    assert json.loads((session.folder / "session" / "metadata.json").read_text())["scan_id"] == 5


def test_a_table_and_a_progress_bar_are_drawn(session):
    assert re.search(r"\| +seq_num \| +time \| +sim_total \| +sim_maximum \|", session.printed)
    assert re.search(r"sim: .*/40\.0 .*frames/s", session.printed + session.errors)


def test_the_magics_of_bluesky_and_ours_work(session):
    assert "[This data will not be saved." in session.printed  # %ct
    assert re.search(r"profile +│ sim +│ acquirer +│ IDLE +│ 1 sent", session.printed)  # %stins
    assert session.printed.count("sim  IDLE\n  frames  1, none missing") == 2  # %last, and the device itself
    (picture,) = re.findall(r"^/.*\.png$", session.printed, re.MULTILINE)  # %frame
    assert session.said["pictures"] == {picture: 3}


def test_the_pictures_go_with_the_session(session):
    assert list(session.folder.glob("stins-frames-*")) == []


def test_a_magic_that_cannot_says_why_in_a_line(session):
    assert "UsageError: got 'nobody', expected one of the detectors: sim\n" in session.printed
    assert "UsageError: got row 7, expected -1 to 0: 1 are in the file\n" in session.printed
    assert "UsageError: row: got 'x', expected a whole number; -1 is the last one\n" in session.printed
    why = "the last series was not recorded: it has no file; take a frame: RE(count([sim]))"
    assert f"UsageError: sim: {why}\n" in session.printed


def test_what_is_refused_takes_a_line_and_tb_shows_all(session):
    plain = re.sub(r"\x1b\[[\d;]*m", "", session.printed)
    before, _, rest = plain.partition("WHOLE\n")
    whole, _, after = rest.partition("SHORT\n")
    assert re.search(r"^StinsError: exposure_s: got -1, expected ", before, re.MULTILINE)
    assert "\nStinsError: sim: set exposure_s = -1: acquirer: configure failed at " in before
    assert "\nStinsError: sim_frames: got 0, expected a whole number of at least 1\n" in before
    assert "\nValueError: Partial uid 'zzzz' is too short." in before
    assert "Traceback (most recent call last)" not in before + after + session.errors
    assert "Traceback (most recent call last)" in whole


def test_each_step_of_the_start_has_a_line_and_nobody_warns(session):
    beginning = session.printed[: session.printed.index("\n<session at profile: sim;")]
    assert [line.partition(";")[0] for line in beginning.splitlines() if line.startswith("stins: ")] == [
        "stins: loading Bluesky and ophyd ...",
        f"stins: the detectors of {session.folder / 'profile' / 'beamline.yaml'} ...",
        "stins: the catalogue",
    ]
    assert "Warning" not in session.errors.partition("Traceback")[0]
    assert "Tiled version" not in session.printed + session.errors


def test_state_frames_and_file_are_shown_as_html_and_in_the_controllers_repr(session):
    assert "<th>sim</th>" in session.said["html"]
    assert "1, none missing" in session.said["html"]
    assert re.match(r"<Controller IDLE; 1, none missing; .*\.nxs \(complete\)>", session.said["controller"])


def test_in_a_list_a_detector_takes_one_line(session):
    assert re.fullmatch(r"\[sim IDLE; 1, none missing; .*\.nxs \(complete\)\]", session.said["nested"])


def test_no_state_of_a_moment_stands_in_a_start_document(session):
    assert session.said["start"]["detectors"] == ["sim"]
    assert "IDLE" not in json.dumps(session.said["start"])


def test_files_are_called_by_day_detector_scan_and_uid(session):
    files = sorted((session.folder / "session" / "data").rglob("*.nxs"))
    uid = session.said["start"]["uid"]
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d/sim_00001_{uid[:8]}\.nxs", "/".join(files[0].parts[-2:]))
    assert len(files) == 6


def test_a_recorder_that_dies_is_started_again(session):
    assert session.said["again"] == "success"


def test_the_processes_end_with_the_session(session):
    assert len(session.said["pids"]) == 2
    assert not any(psutil.pid_exists(pid) for pid in session.said["pids"])
