"""Pause, resume, abort, stop, halt, suspenders: no point twice in the file, no half series called a success."""

import threading
from collections.abc import Callable, Iterator

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import numpy as np
import pytest
from bluesky import Msg, RunEngine

from stins import StinsError
from stins.control import SeriesState
from stins_ophyd import CombinedState, StinsDetector, fly_series
from tests.stins_ophyd.chain import Chain, Documents
from tests.stins_ophyd.interruptions import Row, Stand, account, compare, told
from tests.sweeps import sweep

_HALF = SeriesState.INCOMPLETE
_PAUSED = "paused in the middle of a fly series"

#: What is interrupted, when and how, what follows; exit status, outcome, events, frames taken again.
TABLE = [
    # A point that is interrupted is taken again, and stands once in the file.
    Row("count", "exposing", "immediate", "resume", "success", events=3, retaken=1),
    Row("count of 3", "exposing", "immediate", "resume", "success", events=3, retaken=3),
    Row("scan", "exposing", "immediate", "resume", "success", events=3, retaken=1),
    Row("count", "exposing", "suspended", "resume", "success", events=3, retaken=1),
    Row("count of 3", "exposing", "suspended", "resume", "success", events=3, retaken=3),
    Row("grid_scan", "exposing", "suspended", "resume", "success", events=4, retaken=1),
    Row("setting", "exposing", "suspended", "resume", "success", events=3, retaken=1),
    # A deferred pause waits for the point.
    Row("count", "exposing", "deferred", "resume", "success", events=3),
    Row("scan", "exposing", "deferred", "resume", "success", events=3),
    # While the detector is being armed.
    Row("count", "arming", "immediate", "resume", "success", events=3, retaken=None),
    Row("count", "arming", "deferred", "resume", "success", events=3),
    Row("count", "arming", "suspended", "resume", "success", events=3, retaken=None),
    # An event that is out is out: a point that the RunEngine repeats is another event, with a frame of its own.
    Row("lingering", "saved", "immediate", "resume", "success", events=3),
    Row("lingering", "saved", "suspended", "resume", "success", events=3),
    Row("lingering", "saved", "deferred", "resume", "success", events=2),
    Row("delayed count", "saved", "immediate", "resume", "success", events=3),
    # What is ended early has a closed file that says so, whatever the RunEngine calls it.
    Row("count", "exposing", "immediate", "abort", "abort", _HALF, events=1),
    Row("count", "exposing", "immediate", "stop", "success", _HALF, events=1),
    Row("count", "exposing", "immediate", "halt", "abort", _HALF, events=1),
    Row("count", "exposing", "deferred", "abort", "abort", _HALF, events=2),
    Row("lingering", "saved", "immediate", "abort", "abort", _HALF, events=1),
    Row("count", "exposing", "suspended", "abort", "abort", _HALF, events=1),
    Row("count", "arming", "immediate", "abort", "abort", None, events=0),
    # Nothing is lost of a series that was not kicked off yet.
    Row("fly", "arming", "immediate", "resume", "success", events=5),
    Row("fly", "arming", "suspended", "resume", "success", events=5),
    Row("fly", "arming", "immediate", "abort", "abort", None, events=0),
    # A series that runs by itself cannot be resumed: what interrupts it ends it.
    Row("fly", "exposing", "immediate", "", "fail", _HALF),
    Row("fly", "exposing", "suspended", "", "fail", _HALF),
    Row("fly", "exposing", "deferred", "", "success", events=5),
    Row("fly_scan", "told", "immediate", "", "fail", _HALF),
    Row("fly_scan", "told", "suspended", "", "fail", _HALF),
    Row("kickoffs", "exposing", "immediate", "", "fail", _HALF),
    Row("kickoffs", "exposing", "suspended", "", "fail", _HALF),
    Row("kickoffs", "exposing", "deferred", "", "success", events=6),
    # What a plan has closed, or set, is as it was; a halt leaves the shutter.
    Row("dark_series", "exposing", "immediate", "", "fail", _HALF),
    Row("dark_series", "arming", "immediate", "abort", "abort", None, events=0),
    Row("dark_series", "arming", "immediate", "halt", "abort", None, events=0),
    # Without a run there is nothing to tell, and the next series is recorded again.
    Row("take_live", "exposing", "immediate", "resume", "", events=0, retaken=None),
    Row("take_live", "exposing", "immediate", "abort", "", _HALF, events=0),
    Row("take_live", "exposing", "immediate", "halt", "", _HALF, events=0),
    # A plan that lets the RunEngine resume it all the same is refused by name.
    Row("replayed", "exposing", "immediate", "resume", "fail", _HALF, raises=_PAUSED),
    Row("replayed", "exposing", "suspended", "resume", "fail", _HALF, raises=_PAUSED),
    Row("replayed", "exposing", "immediate", "abort", "abort", _HALF),
    Row("checkpoint", "exposing", "immediate", "resume", "fail", _HALF, raises=_PAUSED),
    Row("loop", "exposing", "immediate", "resume", "fail", _HALF, raises=_PAUSED),
]

#: The same, with other plans and ends: with `pytest --long`.
MORE = [
    Row("dark_series", "arming", "suspended", "resume", "success", events=5),
    Row("dark_series", "exposing", "suspended", "", "fail", _HALF),
    Row("dark_series", "exposing", "deferred", "", "success", events=5),
    Row("take_live", "exposing", "suspended", "resume", "", events=0, retaken=None),
    Row("take_live", "exposing", "immediate", "stop", "", _HALF, events=0),
    Row("fly_scan", "told", "deferred", "", "success", events=9),
    Row("fly_scan", "arming", "immediate", "abort", "abort", None, events=0),
    Row("grid_scan", "exposing", "immediate", "resume", "success", events=4, retaken=1),
    Row("scan", "exposing", "suspended", "resume", "success", events=3, retaken=1),
    Row("count of 3", "exposing", "deferred", "resume", "success", events=3),
    Row("grid_scan", "exposing", "deferred", "resume", "success", events=4),
    Row("count of 3", "exposing", "immediate", "abort", "abort", _HALF, events=1),
    Row("scan", "exposing", "immediate", "abort", "abort", _HALF, events=1),
    Row("grid_scan", "exposing", "immediate", "halt", "abort", _HALF, events=1),
    Row("count", "exposing", "deferred", "stop", "success", _HALF, events=2),
    Row("count", "exposing", "deferred", "halt", "abort", _HALF, events=2),
    Row("count", "exposing", "suspended", "stop", "success", _HALF, events=1),
    Row("count", "exposing", "suspended", "halt", "abort", _HALF, events=1),
    Row("replayed", "exposing", "immediate", "stop", "success", _HALF),
    Row("replayed", "exposing", "immediate", "halt", "abort", _HALF),
    Row("checkpoint", "exposing", "suspended", "resume", "fail", _HALF, raises=_PAUSED),
    Row("loop", "exposing", "suspended", "resume", "fail", _HALF, raises=_PAUSED),
]


@pytest.fixture
def stand(engine: RunEngine, detector: StinsDetector, documents: Documents) -> Stand:
    """All of it."""
    return Stand(engine, [detector], documents)


@pytest.fixture(scope="module")
def pool(chain: Chain) -> list[np.ndarray]:
    """The frames of the detector, which come in turn."""
    return [chain.reference(frame) for frame in range(4)]


@pytest.mark.parametrize("row", TABLE + MORE[: sweep(0, len(MORE))], ids=str)
def test_documents_counts_and_file_agree_after_an_interruption(stand: Stand, pool: list[np.ndarray], row: Row) -> None:
    error = stand.interrupt(row)
    assert row.raises in str(error)
    assert (error is None) == (not row.raises)
    assert stand.engine.state == "idle"
    ends = stand.documents.of("stop")
    assert [stop["exit_status"] for stop in ends] == ([row.exit_status] if row.exit_status else [])
    reason = ends[-1]["reason"] if ends else ""
    assert row.raises in reason
    if row.plan in ("fly", "fly_scan", "dark_series") and row.exit_status == "fail":
        assert _PAUSED in reason
    compare(stand, row, pool)


@pytest.mark.parametrize("delay_s", [0.0, 0.006, 0.014])
@pytest.mark.parametrize("how", ["stop", "unstage"])
def test_a_point_that_is_ended_while_its_detector_is_being_armed_ends_clean(
    detector: StinsDetector, how: str, delay_s: float
) -> None:
    """The delays reach each step of the arming, so that the end comes before, between and after its commands."""
    detector.stage()
    detector.trigger()
    threading.Event().wait(delay_s)
    getattr(detector, how)()
    detector.unstage()
    assert detector.controller.snapshot.state is CombinedState.IDLE
    assert detector.controller.series is None


def test_whoever_waits_at_a_prompt_for_a_point_that_is_ended_hears_of_it(detector: StinsDetector) -> None:
    detector.configure({"exposure_s": 0.5})
    detector.stage()
    status = detector.trigger()
    detector.unstage()
    with pytest.raises(StinsError, match="unstaged while it was under way"):
        status.wait(5)


def test_a_fast_series_that_is_paused_tells_of_each_frame_that_is_in_its_file(
    stand: Stand, run_until: Callable[..., None]
) -> None:
    """Frames go on coming until the detector has heard of it; the last of them are flushed when the file is closed."""
    (detector,) = stand.detectors
    detector.configure({"exposure_s": 0.001, "period_s": 0.002})
    flies = threading.Event()
    stand.engine.subscribe(lambda *_: flies.set(), "stream_datum")
    run_until(fly_series(detector, 10_000, flush_period_s=0.5), flies)
    assert stand.documents.stop["exit_status"] == "fail"
    series = account(detector)
    assert series.state is SeriesState.INCOMPLETE
    assert told(stand.documents, "det_image")[-1][1] == series.rows == series.written


def test_a_plan_that_fails_elsewhere_closes_the_file(stand: Stand) -> None:
    def broken() -> Iterator[Msg]:
        yield from bps.trigger_and_read(stand.detectors)
        raise RuntimeError("the shutter is stuck")

    with pytest.raises(RuntimeError, match="shutter"):
        stand.engine(bpp.stage_wrapper(bpp.run_wrapper(broken()), stand.detectors))
    assert stand.documents.stop["exit_status"] == "fail"
    assert account(stand.detectors[0]).written == 1


def test_the_next_scan_works_after_an_interruption(stand: Stand) -> None:
    stand.interrupt(Row("count", "exposing", "suspended", "abort", "abort"))
    stand.engine(bp.count(stand.detectors, 2))
    assert stand.documents.stop["exit_status"] == "success"
    assert account(stand.detectors[0]).state is SeriesState.COMPLETE


def test_an_engine_that_does_not_rewind_reads_no_point_that_is_being_taken(stand: Stand) -> None:
    """bluesky takes the interrupted wait for done, and would save an event without its image."""
    stand.engine.rewindable = False
    error = stand.interrupt(Row("count", "exposing", "immediate", "resume", "fail"))
    assert "det: read: its point is still being taken" in str(error)
    assert "RE.rewindable = True" in stand.documents.stop["reason"]
    assert len(stand.documents.of("event")) == len(stand.documents.indices) == 1
    assert account(stand.detectors[0]).state is SeriesState.INCOMPLETE
