"""Three recorders share each series, and are one for whoever runs plans and reads data."""

import io
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bluesky.plans as bp
import h5py
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import FailedStatus
from ophyd.sim import SynAxis

from stins import StinsError
from stins.control import AcquirerStatus, NumbersRequest, RecorderStatus, SeriesState, SeriesStatus
from stins.daemon.client import DaemonClient
from stins_ophyd import Controller, Deadlines, StaticPathProvider, StinsDetector, fly_series, open_catalog, record_runs
from stins_ophyd.beamline import DetectorConfig, DetectorProcesses
from stins_ophyd.controller import CombinedState
from tests.stins_ophyd.chain import SETTINGS, SHAPE, Documents

# Tiled's own: nothing that we could act on.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Using `httpx` with"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
FILL = np.iinfo("<u2").max
PATIENT = Deadlines(connect_s=30, command_s=20, arm_s=30, stall_s=30, close_s=60, away_s=120)
DEADLINE_S = 120.0


class Trio:
    """One acquirer and three recorders, which can be killed and brought back."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "data"
        config = DetectorConfig(
            acquirer={"backend": "simulated", "settings": {"shape": list(SHAPE), "pool": 4, **SETTINGS}},
            recorder={"sender_gone_s": 60.0},
            # Whether a part has data files is its recorder's own affair.
            recorders=[{"frames_per_file": 5}, {"frames_per_file": 11}, {}],
        )
        self.processes = DetectorProcesses("sim", config, self.root, folder)
        self._acquirer = DaemonClient("acquirer", self.processes.acquirer.ready.control, AcquirerStatus)

    def controller(self, deadlines: Deadlines = PATIENT) -> Controller:
        addresses = self.processes.addresses
        recorders = [url for key, url in addresses.items() if key != "acquirer"]
        return Controller(addresses["acquirer"], recorders, deadlines=deadlines)

    def sent(self, frames: int) -> np.ndarray:
        """The frames as the acquirer says they were."""
        read = (io.BytesIO(self._acquirer.get(f"/reference/{frame}")) for frame in range(frames))
        return np.stack([np.load(content) for content in read])

    def stop(self) -> None:
        self._acquirer.close()
        self.processes.stop()


@pytest.fixture(autouse=True)
def leak_check() -> None:
    """Off in this module: its processes are brought back within tests and live on; its end ends all of them."""


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    trio = Trio(tmp_path_factory.mktemp("trio"))
    yield trio
    trio.stop()


@pytest.fixture
def controller(trio: Trio) -> Iterator[Controller]:
    trio.processes.revive()
    with trio.controller() as controller:
        controller.make_ready()
        controller.configure(SETTINGS)
        yield controller


@pytest.fixture
def detector(controller: Controller) -> StinsDetector:
    return StinsDetector(name="det", controller=controller, path_provider=StaticPathProvider(), numbers=["sum"])


@pytest.fixture(scope="module")
def catalog(trio: Trio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    catalog = open_catalog(tmp_path_factory.mktemp("catalogue"), readable=[trio.root])
    yield catalog
    catalog.context.close()


@pytest.fixture
def recording(engine: RunEngine, catalog: Any, tmp_path: Path) -> Iterator[None]:
    writer = record_runs(engine, catalog, tmp_path / "backup")
    yield
    writer.stop()
    assert list((tmp_path / "backup").iterdir()) == []


def account(controller: Controller) -> SeriesStatus:
    recorder = controller.snapshot.recorder
    assert recorder is not None
    assert recorder.series is not None
    return recorder.series


def when(controller: Controller, frames: int) -> threading.Event:
    """Set once so many frames of a series are flushed."""
    reached = threading.Event()

    def listener(snapshot: Any) -> None:
        series = snapshot.recorder.series if snapshot.recorder else None
        if series is not None and series.state is SeriesState.OPEN and series.written >= frames:
            reached.set()

    controller.subscribe(listener)
    return reached


def strike_at(reached: threading.Event, strike: Any) -> threading.Thread:
    def run() -> None:
        assert reached.wait(DEADLINE_S)
        strike()

    thread = threading.Thread(target=run, name="strike")
    thread.start()
    return thread


@pytest.mark.long
@pytest.mark.usefixtures("recording")
def test_a_scan_is_read_back_by_its_uid(engine: RunEngine, detector: StinsDetector, catalog: Any, trio: Trio) -> None:
    detector.frames.put(2)
    (uid,) = engine(bp.scan([detector], SynAxis(name="motor"), 0, 1, 4))
    run, sent = catalog[uid]["primary"], trio.sent(8)
    assert np.array_equal(run["det_image"].read(), sent.reshape(4, 2, *SHAPE))
    totals = [float(sent[frame].sum()) for frame in (1, 3, 5, 7)]
    assert [float(x) for x in run["det_total"].read()] == [float(x) for x in run["det_sum"].read()] == totals


@pytest.mark.usefixtures("recording")
def test_a_fly_series_is_read_back(
    engine: RunEngine, detector: StinsDetector, catalog: Any, trio: Trio, documents: Documents
) -> None:
    (uid,) = engine(fly_series(detector, 40))
    run, sent = catalog[uid]["primary"], trio.sent(40)
    assert np.array_equal(run["det_image"].read(), sent)
    assert np.array_equal(run["det_frame_number"].read(), range(40))
    assert np.array_equal(run["det_frame_sum"].read(), sent.sum(axis=(1, 2)))
    file = Path(documents.of("stream_resource")[0]["uri"].removeprefix("file://localhost"))
    assert (file.parent, account(detector.controller).file) == (trio.root, str(file))
    parts = [file.with_name(f"{file.stem}_part{index}{file.suffix}") for index in range(3)]
    assert all(part.exists() for part in parts)
    assert [len(list(file.parent.glob(f"{part.stem}_data_*"))) for part in parts] == [3, 2, 0]  # 14, 13, 13 frames


def test_a_series_is_read_while_it_runs(controller: Controller, trio: Trio) -> None:
    asked = NumbersRequest(keys=("sum",))
    series = controller.arm("live.nxs", trigger_mode="software", frames_per_trigger=3, triggers=None, numbers=asked)
    path, frames, deadline = trio.root / "live.nxs", 0, time.monotonic() + DEADLINE_S
    while not path.exists():
        assert time.monotonic() < deadline
        controller.wait_for(controller.trigger())
        frames += 3
        controller.wait_for_numbers(str(series.series_id), frames)
    controller.wait_for(controller.trigger())
    controller.wait_for_numbers(str(series.series_id), frames := frames + 3)
    sent = trio.sent(frames)
    with h5py.File(path, "r", swmr=True) as file:
        assert np.array_equal(file["/entry/data/data"][:frames], sent)
        assert file["/entry/data/frame_number"][:frames].tolist() == list(range(frames))
        assert np.array_equal(file["/entry/frame_numbers/sum"][:frames], sent.sum(axis=(1, 2)))
        assert "end_time" not in file["/entry"]
    controller.disarm()
    with h5py.File(path) as file:
        assert np.array_equal(file["/entry/data/data"][()], sent)
        assert file["/entry/series/outcome"].asstr()[()] == "complete"


def test_a_point_that_is_taken_again_is_there_once(controller: Controller, trio: Trio) -> None:
    controller.arm("again.nxs", trigger_mode="software", frames_per_trigger=2, triggers=None)
    for first in (0, 2, 4, 2):
        controller.wait_for(controller.trigger(first))
    controller.wait_for(controller.trigger())
    closed = controller.disarm()
    assert closed is not None
    assert (closed.state, closed.rows, closed.received, closed.retaken) == (SeriesState.COMPLETE, 6, 10, 4)
    with h5py.File(closed.file) as file:
        assert file["/entry/data/frame_number"][()].tolist() == list(range(6))


def test_a_run_goes_on_when_the_writer_of_one_recorder_is_killed(
    engine: RunEngine, detector: StinsDetector, trio: Trio, documents: Documents
) -> None:
    controller = detector.controller
    controller.configure({"period_s": 0.005})

    def strike() -> None:
        client = DaemonClient("recorder", trio.processes.addresses["recorder 1"], RecorderStatus)
        os.kill(client.status().writer_pid, signal.SIGKILL)
        client.close()

    thread = strike_at(when(controller, 60), strike)
    engine(fly_series(detector, 300))
    thread.join(DEADLINE_S)
    assert documents.stop["exit_status"] == "success"
    sent = trio.sent(300)
    with h5py.File(account(controller).file) as file:
        assert np.array_equal(file["/entry/data/data"][()], sent)
        assert np.array_equal(file["/entry/frame_numbers/sum"][()], sent.sum(axis=(1, 2)))


def test_a_run_goes_on_when_one_recorder_is_killed_and_started_again(
    engine: RunEngine, detector: StinsDetector, trio: Trio, documents: Documents
) -> None:
    controller = detector.controller
    controller.configure({"period_s": 0.005})

    def strike() -> None:
        trio.processes.recorders[1].send_signal(signal.SIGKILL)
        trio.processes.recorders[1].wait(DEADLINE_S)
        trio.processes.revive()

    thread = strike_at(when(controller, 60), strike)
    engine(fly_series(detector, 300))
    thread.join(DEADLINE_S)
    assert documents.stop["exit_status"] == "success"
    sent = trio.sent(300)
    with h5py.File(account(controller).file) as file:
        assert np.array_equal(file["/entry/data/data"][()], sent)
        assert np.array_equal(file["/entry/frame_numbers/sum"][()], sent.sum(axis=(1, 2)))


def test_the_frames_of_one_that_is_gone_are_missing_until_it_comes_back(engine: RunEngine, trio: Trio) -> None:
    trio.processes.revive()
    with trio.controller(Deadlines(connect_s=30, command_s=10, arm_s=30, close_s=60, away_s=3)) as controller:
        controller.make_ready()
        # Slow: on a busy machine it would have recorded all of them before it is struck.
        controller.configure(SETTINGS | {"period_s": 0.04})
        detector = StinsDetector(name="det", controller=controller)
        thread = strike_at(when(controller, 30), lambda: trio.processes.recorders[1].send_signal(signal.SIGKILL))
        with pytest.raises(FailedStatus, match="recorder 1"):
            engine(fly_series(detector, 150))
        thread.join(DEADLINE_S)

        frames_sent = controller.read_acquirer().frames_sent
        joined, sent = account(controller), trio.sent(frames_sent)
        missing = [number for number in range(150) if number % 3 == 1 or number >= frames_sent]
        assert (joined.state, joined.missing) == (SeriesState.INCOMPLETE, len(missing))
        with h5py.File(joined.file) as file:
            ranges = file["/entry/series/missing_frames"][()]
            assert [n for first, last in ranges for n in range(first, last + 1)] == missing
            frames, numbers = file["/entry/data/data"][()], file["/entry/data/frame_number"][()]
        assert numbers.tolist() == list(range(len(numbers)))
        for number, frame in enumerate(frames):
            assert np.array_equal(frame, np.full(SHAPE, FILL) if number % 3 == 1 else sent[number]), number

        with pytest.raises(StinsError, match="recorder 1"):
            controller.make_ready()
        whole = threading.Event()
        controller.subscribe(lambda now: whole.set() if _has_all(now, frames_sent) else None)
        trio.processes.revive()
        assert whole.wait(DEADLINE_S), controller.snapshot
        with h5py.File(joined.file) as file:
            assert np.array_equal(file["/entry/data/data"][()], sent)


def _has_all(now: Any, frames: int) -> bool:
    """Whether every frame that was sent is in the joined file, and nobody is at work any more."""
    recorder = now.recorder
    return now.state is CombinedState.IDLE and recorder.series is not None and recorder.series.written == frames
