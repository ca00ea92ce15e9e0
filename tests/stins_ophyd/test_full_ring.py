"""A ring that is too small for its recorder: frames are counted and named, or the series stops; the plan says so."""

from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import pytest
from bluesky import RunEngine
from bluesky.utils import FailedStatus

from stins.control import AcquirerState, SeriesState
from stins_ophyd import Controller, DaemonProcess, StinsDetector, fly_series
from stins_ophyd.controller import CombinedState
from tests.stins_ophyd.chain import QUICK, Documents, acquirer_config


@pytest.fixture
def detector(tmp_path: Path) -> Iterator[Callable[[str], StinsDetector]]:
    """A detector that doesn't wait, a ring that holds one frame, and a recorder that acks every 200 ms at most."""
    opened: list[DaemonProcess | Controller] = []

    def open_detector(when_full: str) -> StinsDetector:
        config = acquirer_config()
        config["settings"] |= {"exposure_s": 0.0005, "period_s": 0.0005}
        config["stream"] |= {"ring_bytes": 1, "when_full": when_full}
        acquirer = DaemonProcess("acquirer", config, folder=tmp_path)
        opened.append(acquirer)
        ready = acquirer.ready
        recorder = {
            "roots": [tmp_path / "data"],
            "sources": list(ready.streams),
            "acks": list(ready.acks),
            "flush_interval_s": 0.2,
        }
        opened.append(DaemonProcess("recorder", recorder, folder=tmp_path))
        opened.append(Controller(ready.control, opened[-1].ready.control, deadlines=QUICK))
        return StinsDetector(name="det", controller=opened[-1])

    yield open_detector
    for each in reversed(opened):
        each.close() if isinstance(each, Controller) else each.stop()


def fails(engine: RunEngine, detector: StinsDetector, documents: Documents) -> str:
    with pytest.raises(FailedStatus):
        engine(fly_series(detector, 2000, flush_period_s=0.05))
    assert documents.stop["exit_status"] == "fail"
    return str(documents.stop["reason"])


def test_dropped_frames_stand_in_the_file_the_state_and_the_plans_exception(
    engine: RunEngine, detector: Callable[[str], StinsDetector], documents: Documents
) -> None:
    chosen = detector("drop")
    why = fails(engine, chosen, documents)
    snapshot = chosen.controller.snapshot
    series = snapshot.recorder.series
    assert "had to drop" in why or "frames are missing" in why
    assert (snapshot.state, snapshot.culprit) == (CombinedState.IDLE, "acquirer")
    assert "had to drop frames of series" in snapshot.reason
    assert (series.state, series.missing > 0) == (SeriesState.INCOMPLETE, True)
    with h5py.File(series.file) as file:
        missing = file["/entry/series/missing_frames"][:]
    assert sum(last - first + 1 for first, last in missing) == series.missing


def test_a_series_that_is_to_stop_says_at_which_frame(
    engine: RunEngine, detector: Callable[[str], StinsDetector], documents: Documents
) -> None:
    chosen = detector("stop")
    why = fails(engine, chosen, documents)
    snapshot = chosen.controller.snapshot
    assert "no room for frame" in why
    assert "stream.when_full is `stop`" in why
    assert (snapshot.state, snapshot.acquirer.state) == (CombinedState.FAULT, AcquirerState.FAULT)
    assert snapshot.recorder.series.state is SeriesState.INCOMPLETE
    assert "failed by the sender: sim: no room for frame" in snapshot.recorder.series.reason
