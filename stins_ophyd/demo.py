"""The whole chain on one machine: processes, RunEngine, catalogue, and the proof that every frame came back."""

import io
import sys
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from bluesky import Msg, RunEngine
from bluesky.callbacks.best_effort import BestEffortCallback
from bluesky.plans import scan
from bluesky.utils import FailedStatus, ProgressBarManager
from ophyd.sim import SynAxis
from tqdm import tqdm

from stins import StinsError
from stins.control import AcquirerStatus
from stins.daemon.client import DaemonClient

from .beamline import Beamline, BeamlineConfig, DetectorConfig, DetectorProcesses
from .catalog import open_catalog, record_runs
from .device import StinsDetector
from .plans import fly_series

__all__ = ["Chain", "Verified", "chain", "detector_config"]

DETECTOR = "sim"
#: Frames in one request to the catalogue: each request costs some 30 ms, each frame little.
_AT_ONCE = 20
_SIMULATED = {
    "shape": [512, 512],
    "dtype": "uint16",
    "compression": "bslz4",
    "exposure_s": 0.01,
    "period_s": 0.02,
    "series_arrays": True,
}


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """One run, read back: where it is, and how many of its frames are what was sent."""

    plan: str
    run_uid: str
    file: str
    frames_sent: int
    frames: int
    frames_identical: int
    state: str
    reason: str
    first: Any

    @property
    def identical(self) -> bool:
        """Whether every frame that was sent came back as it was sent, and there was one."""
        return 0 < self.frames_sent == self.frames == self.frames_identical


def detector_config(capture: Path | None, recorders: int = 1, *, frames_per_file: int | None = None) -> DetectorConfig:
    """The simulated detector, or one that plays a capture; with so many recorders, and frames in a data file."""
    acquirer: dict[str, Any] = {"backend": "simulated", "settings": _SIMULATED}
    if capture is not None:
        acquirer = {"backend": "replay", "settings": {"capture": str(capture.resolve())}}
    return DetectorConfig(acquirer=acquirer, recorder={"frames_per_file": frames_per_file}, recorders=recorders)


class Chain:
    """A running demo: a detector in a RunEngine, whose runs go to a catalogue."""

    def __init__(self, processes: DetectorProcesses, catalog: Any, folder: Path) -> None:
        self.detector = StinsDetector(name=DETECTOR, controller=processes.controller())
        acquirer = self.detector.controller.connect().acquirer
        if acquirer is None or acquirer.frame is None:
            raise StinsError(
                "this capture has numbers but no images, and the demo compares images; how it is recorded stands in "
                "docs/how-to/run-a-beamline.md"
            )
        self._acquirer = DaemonClient("acquirer", processes.acquirer.ready.control, AcquirerStatus)
        self._catalog = catalog
        self._engine = RunEngine({})
        table = BestEffortCallback()
        table.disable_plots()
        self._engine.subscribe(table)
        if sys.stdout.isatty():  # elsewhere each step of a bar would be a line
            self._engine.waiting_hook = ProgressBarManager()  # type: ignore[assignment]  # bluesky types it as None
        record_runs(self._engine, catalog, folder / "unsent-documents")

    def close(self) -> None:
        """Lets the detector and the connections go."""
        self.detector.destroy()
        self._acquirer.close()

    def scan(self, points: int) -> Verified:
        """A step scan over a simulated motor."""
        motor = SynAxis(name="motor", labels={"motors"})
        return self._run("scan", scan([self.detector], motor, -1, 1, points))

    def fly(self, frames: int) -> Verified:
        """A series at the detector's own pace; one that ends incomplete is read back as far as it goes."""
        return self._run("fly_series", fly_series(self.detector, frames))

    def _run(self, plan: str, messages: Generator[Msg, Any, Any]) -> Verified:
        uids: list[str] = []
        token = self._engine.subscribe(lambda _, doc: uids.append(doc["uid"]), "start")
        # What failed stands in the series' state and reason, and is shown from there.
        with suppress(FailedStatus):
            self._engine(messages)
        self._engine.unsubscribe(token)
        return self._verify(plan, uids[0])

    def _verify(self, plan: str, uid: str) -> Verified:
        """Reads every frame back through the catalogue by the run's uid."""
        images = self._catalog[uid]["primary"][self.detector.image_key]
        identical = 0
        for start in tqdm(range(0, len(images), _AT_ONCE), desc=f"reading {plan} back", leave=False, disable=None):
            read = images[start : start + _AT_ONCE]
            identical += sum(np.array_equal(frame, self._sent(start + index)) for index, frame in enumerate(read))
        recorder, acquirer = self.detector.controller.snapshot.recorder, self.detector.controller.snapshot.acquirer
        if recorder is None or recorder.series is None or acquirer is None:
            raise StinsError(f"{plan}: a process fell silent; its messages stand in the log folder")
        series = recorder.series
        return Verified(
            plan=plan,
            run_uid=uid,
            file=series.file or "",
            frames_sent=acquirer.frames_sent + acquirer.frames_dropped,
            frames=len(images),
            frames_identical=identical,
            state=series.state.value,
            reason=series.reason,
            first=images[0],
        )

    def _sent(self, number: int) -> Any:
        content = self._acquirer.get(f"/reference/{number}", step="say what was sent")
        return np.load(io.BytesIO(content), allow_pickle=False)


@contextmanager
def chain(folder: Path, config: DetectorConfig, say: Callable[[str], None]) -> Iterator[Chain]:
    """Starts the processes and, meanwhile, the catalogue (its import takes the longest); ends them all."""
    data = folder / "data"
    beamline = Beamline(BeamlineConfig(data=data, detectors={DETECTOR: config}), folder / "log")
    with ThreadPoolExecutor(1, "catalogue") as pool:
        opening = pool.submit(open_catalog, folder / "catalogue", readable=[data])
        with beamline:
            processes = beamline.detectors[DETECTOR]
            for process in processes.processes:
                say(f"{process.kind}   process {process.pid}   {process.ready.control}")
            catalog = opening.result()
            say(f"catalogue  {folder / 'catalogue'} (Tiled, embedded)")
            running = Chain(processes, catalog, folder)
            try:
                yield running
            finally:
                running.close()
