"""Pause, resume, abort, stop and halt: no point twice in the file, no fly series half done and called a success."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import h5py
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import FailedStatus

from stins import StinsError
from stins.control import SeriesState, SeriesStatus
from stins_ophyd import CombinedState, Snapshot, StinsDetector, fly_series
from tests.stins_ophyd.chain import Bench, Chain, Documents


@pytest.fixture
def bench(engine: RunEngine, detector: StinsDetector, documents: Documents, run_until: Callable[..., None]) -> Bench:
    """All of it."""
    return Bench(engine, detector, documents, run_until)


def frames_sent(number: int) -> Callable[[Snapshot], bool]:
    """Whether the acquirer is at that frame of a series."""
    return lambda now: bool(
        now.state is CombinedState.ACQUIRING and now.acquirer and now.acquirer.frames_sent == number
    )


def account(detector: StinsDetector) -> SeriesStatus:
    """The recorder's account of the last series, which has to be closed."""
    snapshot = detector.controller.snapshot
    assert snapshot.state is CombinedState.IDLE
    assert snapshot.recorder is not None
    assert snapshot.recorder.series is not None
    return snapshot.recorder.series


def slow(detector: StinsDetector, frames: int = 1) -> None:
    """Points that can be interrupted."""
    detector.configure({"exposure_s": 0.15, "period_s": 0.15, "frames": frames})


def test_a_point_that_a_pause_interrupted_is_taken_again(bench: Bench, chain: Chain) -> None:
    slow(bench.detector, frames=2)
    bench.pause(bp.count([bench.detector], 3), frames_sent(3))
    bench.engine.resume()
    assert bench.documents.indices == [(0, 1), (1, 2), (2, 3)]
    assert [event["seq_num"] for event in bench.documents.of("event")] == [1, 2, 3]
    assert bench.documents.stop["exit_status"] == "success"
    series = account(bench.detector)
    assert (series.state, series.rows, series.retaken) == (SeriesState.COMPLETE, 6, 2)
    with h5py.File(series.file) as file:
        assert np.array_equal(file["/entry/data/data"][()], [chain.reference(frame) for frame in range(6)])


def test_a_deferred_pause_takes_nothing_again(bench: Bench) -> None:
    slow(bench.detector)
    bench.pause(bp.count([bench.detector], 3), frames_sent(1), defer=True)
    bench.engine.resume()
    assert bench.documents.indices == [(0, 1), (1, 2), (2, 3)]
    assert (account(bench.detector).rows, account(bench.detector).retaken) == (3, 0)


def test_events_and_frames_agree_when_the_engine_repeats_a_point_that_was_saved(bench: Bench) -> None:
    """A pause between a point and its next checkpoint makes the RunEngine repeat the event; its frame goes with it."""
    saved = threading.Event()
    token = bench.engine.subscribe(lambda _, doc: saved.set(), "event")
    bench.run_until(bp.count([bench.detector], 2, delay=0.5), saved)
    bench.engine.unsubscribe(token)
    bench.engine.resume()
    assert len(bench.documents.of("event")) == len(bench.documents.indices) == account(bench.detector).rows


@pytest.mark.parametrize(
    ("ending", "exit_status"), [("abort", "abort"), ("stop", "success"), ("halt", "abort")], ids=str
)
def test_a_scan_that_is_ended_leaves_a_closed_file_marked_incomplete(
    bench: Bench, ending: str, exit_status: str
) -> None:
    slow(bench.detector)
    bench.pause(bp.count([bench.detector], 5), frames_sent(2))
    getattr(bench.engine, ending)()
    assert bench.documents.stop["exit_status"] == exit_status
    series = account(bench.detector)
    assert series.state is SeriesState.INCOMPLETE
    assert "aborted" in series.reason
    with h5py.File(series.file) as file:
        assert len(file["/entry/data/data"]) >= len(bench.documents.indices) == 2


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


def test_a_scan_that_is_aborted_while_it_arms_ends_as_aborted(bench: Bench) -> None:
    arming = threading.Event()
    token = bench.engine.subscribe(lambda _, doc: arming.set(), "start")
    bench.run_until(bp.count([bench.detector], 3), arming)
    bench.engine.unsubscribe(token)
    bench.engine.abort()
    assert bench.documents.stop["exit_status"] == "abort"
    assert bench.detector.controller.snapshot.state is CombinedState.IDLE


def test_a_pause_ends_a_fly_series_with_what_was_flushed(bench: Bench) -> None:
    slow(bench.detector)
    bench.pause(fly_series(bench.detector, 500, flush_period_s=0.1), frames_sent(3))
    assert bench.engine.state == "idle"
    assert bench.documents.stop["exit_status"] == "fail"
    series = account(bench.detector)
    assert series.state is SeriesState.INCOMPLETE
    assert 0 < bench.documents.indices[-1][1] <= series.written


def replayed(detector: StinsDetector, *, checkpoint: bool = False) -> Iterator[Any]:
    """A fly plan without clear_checkpoint: the RunEngine replays it after a pause."""

    @bpp.stage_decorator([detector])
    @bpp.run_decorator()
    def plan():
        yield from bps.prepare(detector, 500, wait=True)
        yield from bps.declare_stream(detector, name="primary", collect=True)
        yield from bps.kickoff(detector, wait=True)
        if checkpoint:
            yield from bps.checkpoint()
        yield from bps.complete(detector, wait=True)
        yield from bps.collect(detector, name="primary")

    return plan()


@pytest.mark.parametrize("checkpoint", [False, True], ids=["from prepare", "from complete"])
def test_a_replayed_fly_series_is_refused_by_name_and_never_a_success(bench: Bench, checkpoint: bool) -> None:
    slow(bench.detector)
    bench.pause(replayed(bench.detector, checkpoint=checkpoint), frames_sent(3))
    assert bench.engine.state == "paused"
    assert account(bench.detector).state is SeriesState.INCOMPLETE
    with pytest.raises((StinsError, FailedStatus), match="paused in the middle of a fly series"):
        bench.engine.resume()
    assert bench.documents.stop["exit_status"] == "fail"
    assert "paused in the middle of a fly series" in bench.documents.stop["reason"]


def test_a_plan_that_goes_on_collecting_after_a_pause_is_refused(bench: Bench) -> None:
    """With a checkpoint in each loop the RunEngine takes the interrupted wait for done."""
    slow(bench.detector)

    @bpp.stage_decorator([bench.detector])
    @bpp.run_decorator()
    def plan():
        yield from bps.prepare(bench.detector, 500, wait=True)
        yield from bps.declare_stream(bench.detector, name="primary", collect=True)
        yield from bps.kickoff(bench.detector, wait=True)
        yield from bps.complete(bench.detector, group="complete")
        done = False
        while not done:
            yield from bps.checkpoint()
            done = yield from bps.wait("complete", timeout=0.1, error_on_timeout=False)
            yield from bps.collect(bench.detector, name="primary")

    bench.pause(plan(), frames_sent(4))
    with pytest.raises((StinsError, FailedStatus), match="paused in the middle of a fly series"):
        bench.engine.resume()
    assert bench.documents.stop["exit_status"] == "fail"


def test_a_paused_fly_series_that_is_aborted_is_closed(bench: Bench) -> None:
    slow(bench.detector)
    bench.pause(replayed(bench.detector), frames_sent(3))
    bench.engine.abort()
    assert bench.documents.stop["exit_status"] == "abort"
    assert account(bench.detector).state is SeriesState.INCOMPLETE


def test_a_plan_that_fails_elsewhere_closes_the_file(bench: Bench) -> None:
    def broken():
        yield from bps.trigger_and_read([bench.detector])
        raise RuntimeError("the shutter is stuck")

    plan = bpp.stage_wrapper(bpp.run_wrapper(broken()), [bench.detector])
    with pytest.raises(RuntimeError, match="shutter"):
        bench.engine(plan)
    assert bench.documents.stop["exit_status"] == "fail"
    assert account(bench.detector).written == 1


def test_the_next_scan_works_after_an_interruption(bench: Bench) -> None:
    slow(bench.detector)
    bench.pause(bp.count([bench.detector], 5), frames_sent(1))
    bench.engine.abort()
    bench.engine(bp.count([bench.detector], 2))
    assert bench.documents.stop["exit_status"] == "success"
    assert account(bench.detector).state is SeriesState.COMPLETE
