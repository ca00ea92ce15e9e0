"""A queue server with the profile: Redis, start-re-manager, its public API; each run is read back from here."""

import gc
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlparse

import h5py
import psutil
import pytest
from bluesky_queueserver_api import BPlan
from bluesky_queueserver_api.zmq import REManagerAPI

from stins_ophyd import Session, open_catalog, open_session
from stins_ophyd.plans import __all__ as our_plans
from tests.at_home.services import PROFILE, copied_profile, queue_manager, redis_server

# Tiled's own, and the queue server's: nothing that we could act on.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Using `httpx` with"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

#: On a busy machine an environment takes a minute: Tiled's imports.
OPEN_S = 120.0
PLAN_S, REPLY_S = 30.0, 10.0
HOW_TO = PROFILE.parent / "docs" / "how-to" / "use-queueserver.md"
TRIES = 3
BIN = Path(sys.executable).parent


class Queue:
    """The queue, its environment open; and the catalogue and the beamline, as another process sees them."""

    catalog: Any
    session: Session

    def __init__(self, control: str, info: str, folder: Path) -> None:
        self.control = control
        self.api = REManagerAPI(
            zmq_control_addr=control,
            zmq_info_addr=info,
            timeout_recv=REPLY_S,
            status_polling_period=0.1,
            status_expiration_period=0.1,
        )
        self.folder = folder
        self._beside = ExitStack()

    def open(self) -> None:
        """Opens the environment, and what stands beside it here."""
        self.until(self._answers, OPEN_S)
        self.api.environment_open()
        for name in ("tiled.server.app", "bluesky_tiled_plugins"):  # meanwhile: it takes as long here
            importlib.import_module(name)
        self.api.wait_for_idle(timeout=OPEN_S)
        assert self.api.status()["worker_environment_exists"], (self.folder / "manager.log").read_text()
        beamline = self.folder / "profile" / "beamline.yaml"
        self.session = self._beside.enter_context(open_session(beamline, self.folder / "session"))
        self.catalog = open_catalog(self.session.folder / "catalogue", readable=[self.session.data])
        self._beside.callback(self.catalog.context.close)
        gc.collect()
        gc.freeze()  # Tiled's objects last: the leak check of each test need not walk them

    def close(self) -> None:
        """Lets go what stands here."""
        self._beside.close()
        self.api.close()
        vars(self).clear()
        gc.unfreeze()  # the API's contexts of ZeroMQ are left to the collector
        gc.collect()
        gc.freeze()

    def start(self, *plan: Any, **keywords: Any) -> None:
        """Puts a plan into the queue, and starts it; one that was aborted stands at its front again."""
        self.api.queue_clear()
        self.api.item_add(BPlan(*plan, **keywords))
        self.api.queue_start()

    def ended(self) -> dict[str, Any]:
        """How the plan that was started last has ended."""
        self.until(lambda: self.state() == "idle", PLAN_S)
        ended: dict[str, Any] = self.api.history_get()["items"][-1]["result"]
        return ended

    def pause(self, option: str) -> None:
        """Pauses the plan once its run is open."""
        self.until(lambda: self.api.re_runs("open", reload=True)["run_list"], PLAN_S)
        self.api.re_pause(option)
        self.until(lambda: self.state() == "paused", PLAN_S)

    def until_flying(self, frames: int) -> None:
        """Waits until a series of so many frames has some; before, a pause is one that can be resumed."""
        controller = self.session.detectors["sim"].controller

        def flies() -> bool:
            series = controller.summary.series
            return series is not None and series.frames_expected == frames and series.written > 0

        self.until(flies, PLAN_S)

    def state(self) -> str:
        return str(self.api.status(reload=True)["manager_state"])

    def read(self, uid: str) -> "Run":
        """The run in the catalogue, which the worker's catalogue has got a moment later."""

        def stopped() -> bool:
            with suppress(KeyError):
                return "stop" in self.catalog[uid].metadata
            return False

        self.until(stopped, PLAN_S)
        return Run(self.catalog[uid])

    def until(self, met: Callable[[], Any], timeout_s: float) -> None:
        deadline = monotonic() + timeout_s
        while not met():
            assert monotonic() < deadline, (self.folder / "manager.log").read_text()[-4000:]
            sleep(0.05)

    def _answers(self) -> bool:
        with suppress(self.api.RequestTimeoutError):
            return bool(self.api.status(reload=True))
        return False


class Run:
    """What a run has: its documents, and its frames."""

    def __init__(self, run: Any) -> None:
        self.start, self.stop = run.metadata["start"], run.metadata["stop"]
        self.primary = run["primary"]
        self.images = self.primary["sim_image"]

    @property
    def file(self) -> Path:
        return Path(urlparse(self.images.data_sources()[0].assets[0].data_uri).path)

    @property
    def frames_and_outcome(self) -> tuple[int, bytes]:
        with h5py.File(self.file) as file:
            return len(file["/entry/data/data"]), file["/entry/series/outcome"][()]


#: The times of the profile as it is committed.
PROFILES = {"exposure_s": 0.01, "period_s": 0.02}


def slow_down(beamline: Path) -> None:
    """Exposures so long that what comes at once comes in the middle of one."""
    text = beamline.read_text()
    slow = text.replace("exposure_s: 0.01", "exposure_s: 0.1").replace("period_s: 0.02", "period_s: 0.1")
    assert slow != text
    beamline.write_text(slow)


@pytest.fixture(scope="module")
def queue() -> Iterator[Queue]:
    with ExitStack() as stack:
        # A short path: a socket's may have 107 characters.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stins-queue-")))
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("XDG_STATE_HOME", str(folder / "state"))
        environment.setenv("STINS_FOLDER", str(folder / "session"))
        redis = stack.enter_context(redis_server(folder))
        profile = copied_profile(folder)
        slow_down(profile / "beamline.yaml")
        control, info = stack.enter_context(queue_manager(profile, redis))
        queue = Queue(control, info, folder)
        stack.callback(queue.close)
        queue.open()
        yield queue


def test_the_queue_offers_the_plans_and_devices_of_the_profile(queue):
    plans, devices = queue.api.plans_allowed()["plans_allowed"], queue.api.devices_allowed()["devices_allowed"]
    assert plans.keys() == {"count", "scan", "rel_scan", "grid_scan", "list_scan", "mv", *our_plans}
    assert devices.keys() == {"sim", "motor", "axis"}
    assert devices["sim"]["is_flyable"]
    assert "exposure_s" in devices["sim"]["components"]


def test_an_open_environment_leaves_the_clone_as_it_was(queue):
    """What it writes into the profile (the list of plans and devices) is none of git's business."""
    committed = git("ls-files", ".").split()
    here = queue.folder / "profile"
    there = [str(path.relative_to(here)) for path in here.rglob("*") if path.is_file()]
    written = [name for name in there if name not in committed]
    assert "startup/existing_plans_and_devices.yaml" in written
    assert git("check-ignore", *written).split() == written
    changed = [name for name in committed if (here / name).read_bytes() != (PROFILE / name).read_bytes()]
    assert changed == ["beamline.yaml"]  # by `slow_down`


def git(*words: str) -> str:
    """What it says in the folder of the profile."""
    if not (PROFILE.parent / ".git").exists():
        pytest.skip("no clone")
    done = subprocess.run(["git", *words], cwd=PROFILE, check=False, capture_output=True, text=True, timeout=REPLY_S)
    return done.stdout


def test_the_commands_of_the_how_to_fill_the_queue_and_start_it(queue):
    (commands,) = [
        block for block in re.findall(r"```sh\n(.*?)```", HOW_TO.read_text(), re.DOTALL) if "queue add" in block
    ]
    assert any(typed(queue, commands) == 0 for _ in range(TRIES))
    done = queue.api.history_get(reload=True)["items"][-2:]
    assert [(item["name"], item["result"]["exit_status"]) for item in done] == [
        ("count", "completed"),
        ("fly_series", "completed"),
    ]


def typed(queue: Queue, commands: str) -> int:
    """Their exit status, once the queue has ended; 3 where the manager took more than 2 s, `qserver`'s limit."""
    queue.api.queue_clear()
    environment = {**os.environ, "QSERVER_ZMQ_CONTROL_ADDRESS": queue.control, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-ec", commands], env=environment, check=False, timeout=OPEN_S, capture_output=True)
    queue.until(lambda: queue.state() == "idle", PLAN_S)  # it may not have begun
    return done.returncode


def test_an_exposure_is_set_as_the_how_to_says_and_moves_the_period_along(queue):
    (item,) = re.findall(r'`({"name": "mv".*?})`', HOW_TO.read_text())
    asked, detector = json.loads(item), queue.session.detectors["sim"]
    was = {name: detector.controller.read_acquirer().settings[name] for name in ("exposure_s", "period_s")}
    detector.apply(PROFILES)
    queue.start(asked["name"], *asked["args"])
    ended, settings = queue.ended(), detector.controller.read_acquirer().settings
    detector.apply(was)
    assert (ended["exit_status"], ended["msg"]) == ("completed", "")
    assert (settings["exposure_s"], settings["period_s"]) == (0.05, 0.05)


def test_a_count_is_read_back(queue):
    queue.start("count", ["sim"], num=3)
    ended = queue.ended()
    assert ended["exit_status"] == "completed"
    run = queue.read(ended["run_uids"][0])
    assert run.stop["exit_status"] == "success"
    assert run.stop["num_events"] == {"primary": 3}
    assert run.images[1].shape == (512, 512)
    assert [image.sum() for image in run.images] == list(run.primary["sim_total"].read())
    assert run.frames_and_outcome == (3, b"complete")


def test_a_scan_is_read_back_with_its_meta_data(queue):
    queue.start("scan", ["sim"], "motor", -1, 1, 5, md={"sample": "lysozyme"})
    run = queue.read(queue.ended()["run_uids"][0])
    assert run.start["sample"] == "lysozyme"
    assert run.start["motors"] == ["motor"]
    assert "IDLE" not in str(run.start)  # a detector's state of a moment has no place there
    assert run.images.shape == (5, 512, 512)


def test_a_series_is_flown_and_read_back(queue):
    queue.start("fly_series", "sim", frames=10)
    run = queue.read(queue.ended()["run_uids"][0])
    assert run.stop["exit_status"] == "success"
    assert run.images.shape == (10, 512, 512)
    assert run.frames_and_outcome == (10, b"complete")


def test_a_name_that_is_no_device_is_said_and_opens_no_run(queue):
    queue.start("fly_series", "nosuch", frames=10)
    ended = queue.ended()
    assert ended["exit_status"] == "failed"
    assert "detectors: got the text 'nosuch', expected a detector" in ended["msg"]
    assert ended["run_uids"] == []


def test_an_axis_that_flies_is_read_back_beside_the_frames(queue):
    queue.start("fly_scan", "sim", "axis", 0, 1, 5, time_s=0.6, exposure_s=0.05)
    ended = queue.ended()
    assert ended["exit_status"] == "completed", ended["msg"]
    (uid,) = ended["run_uids"]
    assert queue.read(uid).images.shape == (5, 512, 512)
    assert list(queue.catalog[uid]["axis_positions"]["axis"].read()) == [0, 0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize("option", ["deferred", "immediate"])
def test_a_count_that_was_paused_goes_on_with_one_frame_for_each_point(queue, option):
    queue.start("count", ["sim"], num=8)
    queue.pause(option)
    queue.api.re_resume()
    ended = queue.ended()
    assert ended["exit_status"] == "completed"
    run = queue.read(ended["run_uids"][0])
    assert run.stop["num_events"] == {"primary": 8}
    assert run.frames_and_outcome == (8, b"complete")


def test_a_count_that_was_aborted_leaves_a_closed_file_that_says_so(queue):
    queue.start("count", ["sim"], num=1000)
    queue.pause("deferred")
    queue.api.re_abort()
    ended = queue.ended()
    assert ended["exit_status"] == "aborted"
    run = queue.read(ended["run_uids"][0])
    assert run.stop["exit_status"] == "abort"
    events = run.stop["num_events"]["primary"]
    assert run.frames_and_outcome == (events, b"incomplete")


def test_a_series_that_is_paused_ends_as_failed(queue):
    queue.start("fly_series", "sim", frames=1000)
    queue.until_flying(1000)
    queue.api.re_pause("immediate")
    ended = queue.ended()
    assert ended["exit_status"] == "failed"
    run = queue.read(ended["run_uids"][0])
    assert run.stop["exit_status"] == "fail"
    assert "paused in the middle of a fly series" in run.stop["reason"]
    assert run.frames_and_outcome[1] == b"incomplete"


def test_visitors_take_frames_but_do_not_move_motors(queue):
    api = queue.api
    assert api.item_add(BPlan("count", ["sim"]), user_group="visitors")["success"]
    with pytest.raises(api.RequestFailedError, match="'scan' is not in the list of allowed plans"):
        api.item_add(BPlan("scan", ["sim"], "motor", 0, 1, 2), user_group="visitors")
    # Another name stays a name in a plan of theirs, flat_series(sim, sample="motor") say, which fails.
    assert api.devices_allowed(user_group="visitors")["devices_allowed"].keys() == {"sim"}
    api.queue_clear()


def test_the_detectors_processes_are_known_to_stins_status_and_end_with_the_environment(queue):
    assert not queue.session.own
    worker = psutil.Process(json.loads((queue.folder / "state" / "stins" / "profile.json").read_text())["process"])
    processes = worker.children()
    assert len(processes) == 2
    queue.api.environment_close()
    queue.api.wait_for_idle(timeout=PLAN_S)
    _, alive = psutil.wait_procs([worker, *processes], PLAN_S)
    assert alive == []
    assert "Failed to properly join" not in (queue.folder / "manager.log").read_text()
