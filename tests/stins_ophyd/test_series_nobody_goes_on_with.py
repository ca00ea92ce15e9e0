"""A series was salvaged while the acquirer kept frames of it: these do not stand in the way of the next series."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from stins.control import AcquirerState, AcquirerStatus, ArmRequest, RecorderStatus, SeriesState, TriggerRequest
from stins.daemon.client import DaemonClient
from stins_ophyd import DaemonProcess
from tests.stins_ophyd.chain import acquirer_config

#: 3 KiB each: some 300 fit, so 100 of the next series do, if nothing else is there.
RING_BYTES = 1 << 20


def wait_until(condition: Callable[[], object], deadline_s: float = 30) -> None:
    """Asks again until it is true."""
    deadline, pause = time.monotonic() + deadline_s, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {deadline_s} s"
        pause.wait(0.02)


class Pair:
    """A detector that doesn't wait, and its recorder."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._stack, self._folder = stack, folder
        config = acquirer_config()
        config["settings"] |= {"exposure_s": 0.002, "period_s": 0.002}
        config["stream"] |= {"ring_bytes": RING_BYTES}
        self.acquirer = self._started("acquirer", config)
        ready = self.acquirer.ready
        sources = {"sources": list(ready.streams), "acks": list(ready.acks)}
        self._recorder = self._started("recorder", {"name": "writer", "roots": [folder / "data"], **sources})
        self._at_acquirer = self._client(self.acquirer, AcquirerStatus)
        self._at_recorder = self._client(self._recorder, RecorderStatus)

    def _started(self, kind: str, config: dict[str, object]) -> DaemonProcess:
        process = DaemonProcess(kind, config, folder=self._folder)
        self._stack.callback(process.stop)
        return process

    def _client(self, process: DaemonProcess, status: type) -> DaemonClient:
        client = DaemonClient(process.kind, process.ready.control, status)
        self._stack.callback(client.close)
        return client

    def expose(self, name: str, frames: int) -> None:
        self._at_acquirer.post("/arm", ArmRequest(series_id=name, filename=f"{name}.h5", frames_per_trigger=frames))
        self._at_acquirer.post("/trigger", TriggerRequest())

    def sender_is(self, condition: Callable[[AcquirerStatus], object]) -> AcquirerStatus:
        wait_until(lambda: condition(self._at_acquirer.status()))
        return self._at_acquirer.status()

    def recorder_is(self, condition: Callable[[RecorderStatus], object]) -> RecorderStatus:
        wait_until(lambda: condition(self._at_recorder.status()))
        return self._at_recorder.status()

    def kill_recorder(self) -> None:
        """Supervisor and writer, as a machine that runs out of memory does."""
        writer = psutil.Process(self._at_recorder.status().writer_pid)
        self._recorder.send_signal(signal.SIGKILL)
        writer.kill()
        assert self._recorder.wait(10)
        wait_until(lambda: not writer.is_running())

    def start_recorder(self) -> None:
        pinned = self._recorder.pinned
        self._recorder.stop()
        self._recorder = self._started("recorder", pinned)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(tmp_path, stack)


def test_the_series_after_one_that_was_salvaged_loses_no_frame_to_what_is_kept_of_that(pair: Pair) -> None:
    pair.expose("k2", 800)
    file = pair.recorder_is(lambda now: now.series and now.series.written > 20).series.file
    pair.kill_recorder()
    done = pair.sender_is(lambda now: now.state is AcquirerState.IDLE)
    assert done.frames_dropped > 0
    subprocess.run([sys.executable, "-m", "stins.cli", "salvage", file], check=True, timeout=60, capture_output=True)
    pair.start_recorder()
    # What has been counted is acked.
    pair.recorder_is(lambda now: f"{done.unacked} messages came with no series open" in now.notes)

    pair.expose("k3", 100)
    ended = pair.sender_is(lambda now: now.state is AcquirerState.IDLE and not now.unacked)
    assert (ended.frames_sent, ended.frames_dropped) == (100, 0)
    series = pair.recorder_is(lambda now: now.series and now.series.state is not SeriesState.OPEN).series
    assert (series.series_id, series.state, series.written) == ("k3", SeriesState.COMPLETE, 100)
