"""Series to look at, without a file."""

import logging
from collections.abc import Callable
from typing import Any

import bluesky.plans as bp
import pytest
from bluesky import RunEngine

from stins.control import SeriesState
from stins_ophyd import CombinedState, StinsDetector
from stins_ophyd.plans import take_live
from tests.stins_ophyd.chain import Bench, Chain, Documents


def test_a_live_series_runs_to_its_end_and_leaves_no_file(chain: Chain, detector: StinsDetector) -> None:
    before = sorted(chain.root.rglob("*.nxs"))
    detector.recorded.put(False)
    detector.stage()
    detector.prepare(12).wait(20)
    detector.kickoff().wait(20)
    status = detector.complete()
    status.wait(20)
    detector.unstage()
    series = detector.controller.snapshot.recorder.series
    assert (series.state, series.received, series.file) == (SeriesState.COMPLETE, 12, None)
    assert sorted(chain.root.rglob("*.nxs")) == before


def test_points_without_a_file_have_their_numbers_and_no_image(
    engine: RunEngine, detector: StinsDetector, documents: Documents, chain: Chain
) -> None:
    detector.recorded.put(False)
    engine(bp.count([detector], 2))
    assert documents.stop["exit_status"] == "success"
    (descriptor,) = documents.of("descriptor")
    assert descriptor["data_keys"].keys() == {"det_total", "det_maximum"}
    assert descriptor["configuration"]["det"]["data_keys"]["det_recorded"]["dtype"] == "boolean"
    assert [event["data"]["det_total"] for event in documents.of("event")] == [
        float(chain.reference(frame).sum()) for frame in range(2)
    ]
    assert documents.of("stream_resource") == []


def own(detector: StinsDetector) -> list[Any]:
    """The settings that the device keeps itself."""
    return [detector.recorded.get(), detector.frames.get()]


def test_live_frames_that_are_halted_leave_the_next_run_its_file(
    engine: RunEngine, detector: StinsDetector, documents: Documents, run_until: Callable[..., None]
) -> None:
    bench = Bench(engine, detector, documents, run_until)
    detector.configure({"period_s": 0.02})
    bench.pause(take_live(detector, 500), lambda now: now.state is CombinedState.ACQUIRING)
    assert own(detector) == [False, 500]
    engine.halt()
    assert own(detector) == [True, 1]
    engine(bp.count([detector], 1))
    assert documents.indices == [(0, 1)]


def test_not_to_record_is_for_one_staging_and_its_run_says_so(
    engine: RunEngine, detector: StinsDetector, documents: Documents, caplog: pytest.LogCaptureFixture
) -> None:
    detector.recorded.put(False)
    with caplog.at_level(logging.WARNING):
        engine(bp.count([detector], 1))
    assert "det: these events have no images: det_recorded was False at stage" in caplog.messages
    assert documents.of("descriptor")[0]["configuration"]["det"]["data"]["det_recorded"] is False
    engine(bp.count([detector], 1))
    assert documents.indices == [(0, 1)]
