"""A chain of real processes, and the documents of a RunEngine, for the tests of the controller and its faces."""

import io
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import event_model
import numpy as np
from bluesky import RunEngine

from stins.control import AcquirerStatus, SeriesStatus
from stins.daemon.client import DaemonClient
from stins_ophyd import CombinedState, Controller, DaemonProcess, Deadlines, Snapshot, StinsDetector

SHAPE = (32, 48)
#: What a test may change, and what it is before the next one.
SETTINGS: dict[str, Any] = {"exposure_s": 0.001, "period_s": 0.0, "incident_energy": 12_400.0, "faults": []}
#: Frames in a data file of the chain that makes some.
PER_FILE = 7
#: Short, so that a failure shows in seconds; long against what a healthy chain on a busy machine takes.
QUICK = Deadlines(connect_s=10, command_s=3, arm_s=8, stall_s=3, close_s=8, away_s=1)


class Chain:
    """An acquirer and a recorder that can be ended and brought back at their addresses.

    `config` is what the recorder's configuration has beside the usual.
    """

    def __init__(self, folder: Path, **config: Any) -> None:
        self.folder = folder
        self.root = folder / "data"
        self.acquirer = DaemonProcess("acquirer", acquirer_config(), folder=folder)
        recorder = {
            "name": "writer",
            "roots": [self.root],
            "sources": list(self.acquirer.ready.streams),
            "acks": list(self.acquirer.ready.acks),
            # Of an acquirer that was killed, nothing comes any more.
            "replay_timeout_s": 4.0,
            "order": {"gap_timeout_s": 0.5},
            **config,
        }
        self.recorder = DaemonProcess("recorder", recorder, folder=folder)

    def controller(self, deadlines: Deadlines = QUICK) -> Controller:
        """A controller of both."""
        return Controller(self.acquirer.ready.control, self.recorder.ready.control, deadlines=deadlines)

    def revive(self) -> None:
        """Starts again what has ended, where it was."""
        if self.acquirer.ended():
            self.acquirer.stop()
            self.acquirer = DaemonProcess("acquirer", self.acquirer.pinned, folder=self.folder)
        if self.recorder.ended():
            self.recorder.stop()
            self.recorder = DaemonProcess("recorder", self.recorder.pinned, folder=self.folder)

    def reference(self, frame: int) -> np.ndarray:
        """The pixels of a frame, as the acquirer says they are."""
        return reference(self.acquirer.ready.control, frame)

    def stop(self) -> None:
        """Ends both."""
        self.acquirer.stop()
        self.recorder.stop()


def reference(acquirer_url: str, frame: int) -> np.ndarray:
    """The pixels of a frame, as that acquirer says they are."""
    client = DaemonClient("acquirer", acquirer_url, AcquirerStatus)
    try:
        return np.load(io.BytesIO(client.get(f"/reference/{frame}")))
    finally:
        client.close()


def acquirer_config() -> dict[str, Any]:
    """A small, fast detector."""
    settings = {"shape": list(SHAPE), "pool": 4, **SETTINGS}
    return {"name": "sim", "backend": "simulated", "settings": settings, "stream": {"peer_timeout_s": 2.0}}


class Documents:
    """The documents of the runs so far, each one valid by its schema."""

    def __init__(self) -> None:
        self.all: list[tuple[str, dict[str, Any]]] = []
        self.router = event_model.DocumentRouter()

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Takes a document from the RunEngine."""
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
        self.all.append((name, doc))

    def of(self, name: str) -> list[dict[str, Any]]:
        """Those of one kind."""
        return [doc for kind, doc in self.all if kind == name]

    @property
    def images(self) -> list[dict[str, Any]]:
        """The StreamResource documents of the images."""
        return [doc for doc in self.of("stream_resource") if doc["data_key"].endswith("_image")]

    @property
    def indices(self) -> list[tuple[int, int]]:
        """What the StreamDatum documents of the images cover; those of the numbers beside them cover the same."""
        images = [doc["uid"] for doc in self.images]
        told = [doc for doc in self.of("stream_datum") if doc["stream_resource"] in images]
        return [(doc["indices"]["start"], doc["indices"]["stop"]) for doc in told]

    @property
    def stop(self) -> dict[str, Any]:
        """The last run's stop document."""
        return self.of("stop")[-1]


@dataclass
class Bench:
    """A detector in a RunEngine that can be paused at a chosen moment."""

    engine: RunEngine
    detector: StinsDetector
    documents: Documents
    run_until: Callable[..., None]

    def pause(self, plan: Any, seen: Callable[[Snapshot], bool], *, defer: bool = False) -> None:
        """Runs the plan and pauses it when the controller sees that."""
        moment = threading.Event()
        forget = self.detector.controller.subscribe(lambda now: moment.set() if seen(now) else None)
        try:
            self.run_until(plan, moment, defer=defer)
        finally:
            forget()

    def abort_while_acquiring(self, plan: Any) -> SeriesStatus:
        """Pauses the plan in the middle of an exposure and aborts it; the recorder's account of the series."""
        self.pause(plan, lambda now: now.state is CombinedState.ACQUIRING)
        self.engine.abort()
        assert self.documents.stop["exit_status"] == "abort"
        recorder = self.detector.controller.snapshot.recorder
        assert recorder is not None
        assert recorder.series is not None
        return recorder.series
