"""That the detector lost frames is heard at once; why it did, a moment later, and an error has both."""

import threading
import time
from collections.abc import Iterator

import msgspec
import pytest

from stins.control import AcquirerState, AcquirerStatus, RecorderState, RecorderStatus, SeriesState, SeriesStatus
from stins.daemon.client import DaemonClient
from stins_ophyd.controller import Deadlines, FramesLostError, Goal
from stins_ophyd.controller.awaited import until_recorded
from stins_ophyd.controller.observer import Observer

SERIES = SeriesStatus(series_id="s", state=SeriesState.OPEN, missing=1, missing_frames=((3, 3),))
RECORDER = RecorderStatus(name="w", state=RecorderState.RECORDING, boot_id="r", pid=2, series=SERIES)
LOSING = AcquirerStatus(
    name="e",
    backend="eiger",
    state=AcquirerState.ACQUIRING,
    boot_id="a",
    pid=1,
    series_id="s",
    frames_dropped=1,
    frames_not_given=1,
)
EXPLAINED = msgspec.structs.replace(LOSING, drop_reason="the DCU dropped it")
WHOLE = until_recorded(Goal.whole("s", 6), 20.0, 0.0)


@pytest.fixture
def observer() -> Iterator[Observer]:
    """One that was never opened: it hears what it is told."""
    acquirer = DaemonClient("acquirer", "http://127.0.0.1:9", AcquirerStatus)
    recorder = DaemonClient("recorder", "http://127.0.0.1:9", RecorderStatus)
    observer = Observer(acquirer, recorder, Deadlines())
    observer._update(acquirer=LOSING, recorder=RECORDER)
    yield observer
    acquirer.close()
    recorder.close()


def test_the_reason_that_comes_a_moment_later_is_in_the_error(observer: Observer) -> None:
    later = threading.Timer(0.05, observer._update, kwargs={"acquirer": EXPLAINED})
    later.start()
    with pytest.raises(FramesLostError, match="the acquirer had to drop 1 frame: the DCU dropped it"):
        observer.wait(WHOLE)
    later.join()


def test_a_reason_that_does_not_come_is_not_waited_for_long(observer: Observer) -> None:
    began = time.monotonic()
    with pytest.raises(FramesLostError, match="the acquirer had to drop 1 frame: its detector did not give them"):
        observer.wait(WHOLE)
    assert 0.4 < time.monotonic() - began < 5.0
