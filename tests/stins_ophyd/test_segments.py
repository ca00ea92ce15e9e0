"""A series in several data files, from a RunEngine to its file: as if its recorder wrote one."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import h5py
import numpy as np
import pytest
from bluesky import RunEngine
from ophyd.sim import SynAxis
from stins_recorder.check.reader import FileReader

from stins.control import SeriesState, SeriesStatus
from stins.findings import Finding
from stins_ophyd import Controller, StinsDetector, fly_series
from tests.stins_ophyd.chain import PER_FILE, Chain, Documents

DEADLINE_S = 60.0


@pytest.fixture(autouse=True)
def leak_check() -> None:
    """Off in this module: the recorder's writer is killed, and the next one lives on; the module's end ends all."""


def account(controller: Controller) -> SeriesStatus:
    recorder = controller.snapshot.recorder
    assert recorder is not None
    assert recorder.series is not None
    assert recorder.series.state is SeriesState.COMPLETE
    return recorder.series


@contextmanager
def frames(detector: StinsDetector) -> Iterator[h5py.Dataset]:
    """Those of its last series."""
    with h5py.File(str(account(detector.controller).file)) as file:
        yield file["/entry/data/data"]


def data_files(series: SeriesStatus) -> int:
    """How many there are, after a look at all of them by the rules of `stins check`."""
    file, said = Path(str(series.file)), list[Any]()
    FileReader(file, said.append, decode=True).run()
    assert [line for line in said if isinstance(line, Finding)] == []
    return len(list(file.parent.glob(f"{file.stem}_data_*{file.suffix}")))


def resource(documents: Documents, data_key: str) -> dict[str, Any]:
    """What the stream resource says, but for its own name and that of the run, and for the file."""
    (found,) = (doc for doc in documents.of("stream_resource") if doc["data_key"] == data_key)
    return {key: found[key] for key in ("mimetype", "parameters")}


def test_a_scan_with_both_reads_the_same_from_both(
    engine: RunEngine, detector: StinsDetector, segmented: StinsDetector, documents: Documents
) -> None:
    for each in (detector, segmented):
        each.frames.put(2)
    engine(bp.scan([detector, segmented], SynAxis(name="motor"), 0, 1, 5))
    with frames(detector) as one, frames(segmented) as several:
        assert (one.shape, one.dtype) == (several.shape, several.dtype)
        assert np.array_equal(one[()], several[()])
    events = [doc["data"] for doc in documents.of("event")]
    assert [event["det_total"] for event in events] == [event["seg_total"] for event in events]
    assert resource(documents, "det_image") == resource(documents, "seg_image")
    assert data_files(account(segmented.controller)) == 2


def test_a_fly_series_reads_the_same_whole_by_frames_and_by_slices(
    engine: RunEngine, detector: StinsDetector, segmented: StinsDetector, documents: Documents
) -> None:
    for each in (detector, segmented):
        engine(fly_series(each, 40))
    with frames(detector) as one, frames(segmented) as several:
        whole = one[()]
        assert len(whole) == 40
        assert np.array_equal(several[()], whole)
        for index in (13, 14, slice(5, 23), slice(34, 40)):
            assert np.array_equal(several[index], whole[index])
    assert resource(documents, "det_image") == resource(documents, "seg_image")
    assert data_files(account(segmented.controller)) == 6


_READER = """
import json, sys, h5py
per_file = int(sys.argv[2])
with h5py.File(sys.argv[1], swmr=True) as file:
    rows = int(file["/entry/series/rows"][()])
    frames = file["/entry/data/data"]
    seen = frames[:rows], frames[rows - 1], frames[per_file - 2 : per_file + 2]
    print(json.dumps([rows, "end_time" in file["entry"], *(values.tolist() for values in seen)]))
"""


def test_another_process_reads_along_while_the_series_runs(
    engine: RunEngine, segmented: StinsDetector, segmenting: Chain
) -> None:
    heard: list[str] = []

    def look() -> None:
        recorder = segmented.controller.snapshot.recorder
        assert recorder is not None
        assert recorder.series is not None
        command = [sys.executable, "-c", _READER, str(recorder.series.file), str(PER_FILE)]
        heard.append(subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True).stdout)

    @bpp.stage_decorator([segmented])
    @bpp.run_decorator()
    def points() -> Any:
        for _ in range(2):
            for _ in range(PER_FILE + 2):
                yield from bps.trigger_and_read([segmented])
            look()

    engine(points())
    for rows, line in zip((PER_FILE + 2, 2 * PER_FILE + 4), heard, strict=True):
        sent = np.stack([segmenting.reference(frame) for frame in range(rows)])
        seen, ended, *frames = json.loads(line)
        assert (seen, ended) == (rows, False)
        for values, expected in zip(frames, (sent, sent[-1], sent[PER_FILE - 2 : PER_FILE + 2]), strict=True):
            assert np.array_equal(values, expected)


def test_a_series_whose_writer_is_killed_is_complete(
    engine: RunEngine, segmented: StinsDetector, segmenting: Chain, documents: Documents
) -> None:
    controller, killed = segmented.controller, threading.Event()
    controller.configure({"period_s": 0.01})

    def strike(snapshot: Any) -> None:
        recorder = snapshot.recorder
        underway = recorder and recorder.series and recorder.series.state is SeriesState.OPEN
        if underway and recorder.series.written >= 3 * PER_FILE and not killed.is_set():
            killed.set()
            os.kill(recorder.writer_pid, signal.SIGKILL)

    controller.subscribe(strike)
    engine(fly_series(segmented, 80))
    assert killed.is_set()
    assert documents.stop["exit_status"] == "success"
    assert controller.snapshot.recorder is not None
    assert controller.snapshot.recorder.restarts
    series = account(controller)
    assert data_files(series) == 12
    with h5py.File(str(series.file)) as file:
        sent = np.stack([segmenting.reference(frame) for frame in range(80)])
        assert np.array_equal(file["/entry/data/data"][()], sent)
