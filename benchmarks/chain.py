"""An acquirer and a recorder as real processes, killed at will, and what must be in the files all the same."""

import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  # registers the filters of the frames
import numpy as np
import psutil
from numpy.typing import NDArray

from stins.control import (
    AcquirerState,
    AcquirerStatus,
    ArmRequest,
    PrepareRequest,
    RecorderState,
    RecorderStatus,
    SeriesState,
    SeriesStatus,
    TriggerRequest,
)
from stins.daemon.client import DaemonClient
from stins_ophyd import DaemonProcess

# The shim belongs to the tests.
sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "faults"))
from shim import FaultPage

__all__ = ["DATA", "NUMBERS", "Chain", "Verdict", "wait_for"]

DATA = "/entry/instrument/detector/data"
NUMBERS = "/entry/instrument/detector/sequence_number"
DEADLINE_S = 120.0
_POLL_S = 0.02
#: For arming, where the detector computes its frames.
_COMPUTE_S = 60.0
_ROWS_AT_ONCE = 32


@dataclass(frozen=True)
class Verdict:
    """What is in a file, compared with what was sent; `problem` says in words what else is wrong with it."""

    sent: int
    lost: int
    wrong: int
    complete: bool
    problem: str = ""


class Chain:
    """A simulated detector and its recorder; `page` decides on the recorder's system calls, if there is a shim."""

    def __init__(
        self,
        folder: Path,
        root: Path,
        settings: Mapping[str, Any],
        *,
        ring_bytes: int,
        recorder: Mapping[str, Any] | None = None,
        shim: Path | None = None,
    ) -> None:
        self._folder, self.data = folder, root
        self._references: dict[int, NDArray[Any]] = {}
        self.page = FaultPage(folder / "page") if shim else None
        self._environment = self.page.environment(shim) if self.page and shim else {}
        stream = {"ring_bytes": ring_bytes, "peer_timeout_s": 20.0}
        config = {"name": "sim", "backend": "simulated", "settings": dict(settings), "stream": stream}
        self._acquirer = DaemonProcess("acquirer", config, folder=folder)
        ready = self._acquirer.ready
        config = {"name": "writer", "roots": [root], "sources": list(ready.streams), "acks": list(ready.acks)}
        self._recorder = self._start({**config, **(recorder or {})})
        self.acquirer = DaemonClient("acquirer", ready.control, AcquirerStatus)
        self.recorder = DaemonClient("recorder", self._recorder.ready.control, RecorderStatus)

    def _start(self, config: Mapping[str, Any]) -> DaemonProcess:
        with _environment(self._environment):
            return DaemonProcess("recorder", config, folder=self._folder)

    def close(self) -> None:
        """Ends both."""
        self.acquirer.close()
        self.recorder.close()
        self._acquirer.stop()
        self._recorder.stop()
        if self.page:
            self.page.close()

    @property
    def recorder_pid(self) -> int:
        """The supervisor's process."""
        return self._recorder.pid

    @property
    def log(self) -> str:
        """The recorder's messages."""
        return self._recorder.log_file.read_text()

    # -- series ---------------------------------------------------------------------------------

    def configure(self, **settings: Any) -> None:
        """Sets up the detector."""
        self._references.clear()
        self.acquirer.post("/configure", settings)

    def begin(self, name: str, frames: int) -> None:
        """Arms a series of so many frames, and starts it when its file is open."""
        filename = f"{name}.h5"
        self.recorder.post("/prepare", PrepareRequest(series_id=name, filename=filename, frames_expected=frames))
        request = ArmRequest(series_id=name, filename=filename, frames_per_trigger=frames)
        self.acquirer.post("/arm", request, timeout_s=_COMPUTE_S)
        wait_for(lambda: self.is_open(name), f"series {name} is open")
        self.acquirer.post("/trigger", TriggerRequest())

    def account(self, name: str) -> SeriesStatus | None:
        """The recorder's account of this series; None where it knows nothing of it, or is not there."""
        status = self.recorder_status()
        series = status.series if status else None
        return series if series and series.series_id == name else None

    def is_open(self, name: str) -> bool:
        """Whether the recorder is in this series."""
        series = self.account(name)
        return series is not None and series.state is SeriesState.OPEN

    def sending(self) -> bool:
        """Whether frames are still to come from the detector."""
        return self.acquirer.status().state is AcquirerState.ACQUIRING

    def end(self, name: str) -> SeriesStatus:
        """The account of a series that has ended, on both sides."""
        wait_for(lambda: not self.sending(), f"the acquirer ends {name}")
        wait_for(lambda: _is_over(self.account(name)), lambda: f"{name} ends; {self.recorder_status()}")
        series = self.account(name)
        assert series is not None
        return series

    def recorder_status(self) -> RecorderStatus | None:
        """None while it is not there."""
        with suppress(Exception):
            return self.recorder.status()
        return None

    # -- death ----------------------------------------------------------------------------------

    def kill_writer(self) -> int | None:
        """SIGKILL; which process it was, None if there was none."""
        status = self.recorder_status()
        if status is None or status.writer_pid is None:
            return None
        with suppress(ProcessLookupError):
            os.kill(status.writer_pid, signal.SIGKILL)
            return status.writer_pid
        return None

    def back(self, dead: int) -> None:
        """Returns when another writer records."""
        wait_for(lambda: (status := self.recorder_status()) and _records(status, dead), "another writer records")

    def kill_recorder(self) -> None:
        """SIGKILL for all its processes, then it is started as a person would."""
        processes = [psutil.Process(self._recorder.pid)]
        processes += processes[0].children(recursive=True)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, 10)
        pinned = self._recorder.pinned
        self._recorder.stop()
        self._recorder = self._start(pinned)

    def stop_recorder(self) -> None:
        """Ends it politely, and starts it again."""
        pinned = self._recorder.pinned
        self._recorder.stop()
        self._recorder = self._start(pinned)

    def kill_acquirer(self) -> None:
        """SIGKILL; the detector is started again as it was, and the series is ended, as the controller does.

        It is there again before the recorder gives it up, which waits for one that sends on.
        """
        pinned = {**self._acquirer.pinned, "settings": dict(self.acquirer.status().settings)}
        self._acquirer.send_signal(signal.SIGKILL)
        self._acquirer.stop()
        self._acquirer = DaemonProcess("acquirer", pinned, folder=self._folder)
        self.recorder.post("/stop")

    # -- what must be in the file ---------------------------------------------------------------

    def reference(self, frame: int) -> NDArray[Any]:
        """The pixels of a frame, as the acquirer says they are."""
        index = frame % int(self.acquirer_settings["pool"])
        if index not in self._references:
            self._references[index] = np.load(io.BytesIO(self.acquirer.get(f"/reference/{index}")))
        return self._references[index]

    @property
    def acquirer_settings(self) -> Mapping[str, Any]:
        """How the detector is set up."""
        if not self._references:
            self._settings = self.acquirer.status().settings
        return self._settings

    def ended(self, series: SeriesStatus) -> bool:
        """Whether its file was closed or salvaged."""
        with suppress(OSError), h5py.File(series.file, "r") as file:
            return "end_time" in file["entry"]
        return False

    def check(self, series: SeriesStatus, frames: int) -> Verdict:
        """Every frame of the file, bit by bit; a frame that is listed as missing is lost, not wrong."""
        if series.file is None:
            return Verdict(frames, frames, 0, complete=False, problem=f"no file: {series.reason}")
        with h5py.File(series.file, "r") as file:
            missing = {n for first, last in file["entry/series/missing_frames"] for n in range(first, last + 1)}
            numbers, data = file[NUMBERS][()], file[DATA]
            complete = file["entry/series/outcome"].asstr()[()] == "complete" and "end_time" in file["entry"]
            wrong = self._wrong(data, numbers, missing)
            problem = "" if list(numbers) == sorted(set(map(int, numbers))) else "numbers out of order or doubled"
        there = set(map(int, numbers)) - missing
        return Verdict(frames, len(set(range(frames)) - there), wrong, complete, problem or series.reason)

    def _wrong(self, data: h5py.Dataset, numbers: NDArray[Any], missing: set[int]) -> int:
        wrong = 0
        for first in range(0, len(numbers), _ROWS_AT_ONCE):
            block = data[first : first + _ROWS_AT_ONCE]
            for number, pixels in zip(numbers[first : first + _ROWS_AT_ONCE], block, strict=True):
                if int(number) not in missing and not np.array_equal(pixels, self.reference(int(number))):
                    wrong += 1
        return wrong


def wait_for(condition: Callable[[], object], what: str | Callable[[], str], deadline_s: float = DEADLINE_S) -> None:
    """Returns once it is true; gives up with words."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {deadline_s:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(_POLL_S)


def _is_over(series: SeriesStatus | None) -> bool:
    """A series that has failed goes on being counted until its end has come."""
    if series is None or series.state is SeriesState.OPEN:
        return False
    return series.frames_expected in (None, series.written + series.discarded + series.missing)


def _records(status: RecorderStatus, dead: int) -> bool:
    back = status.state not in (RecorderState.RECOVERING, RecorderState.FAULT)
    return back and status.writer_pid not in (None, dead)


@contextmanager
def _environment(more: Mapping[str, str]) -> Iterator[None]:
    """For the processes that are started inside."""
    before = dict(os.environ)
    os.environ.update(more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
