"""The plans people use: every document valid, every index flushed, every number right."""

import io
import re
from contextlib import redirect_stdout

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import h5py
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.callbacks.best_effort import BestEffortCallback
from bluesky.utils import ProgressBarManager
from ophyd.sim import SynAxis

from stins import StinsError
from stins_ophyd import StinsDetector, fly_series
from tests.stins_ophyd.chain import SHAPE, Chain, Documents


def recorded(documents: Documents) -> np.ndarray:
    """The frames of the last run, from the file that its resource names."""
    resource = documents.images[-1]
    with h5py.File(resource["uri"].removeprefix("file://localhost")) as file:
        return file[resource["parameters"]["dataset"]][()]


def test_count_has_one_event_and_one_frame_per_point(
    engine: RunEngine, detector: StinsDetector, documents: Documents, chain: Chain
) -> None:
    engine(bp.count([detector], 3))
    assert documents.indices == [(0, 1), (1, 2), (2, 3)]
    assert documents.stop["num_events"] == {"primary": 3}
    assert documents.stop["exit_status"] == "success"
    assert np.array_equal(recorded(documents), [chain.reference(frame) for frame in range(3)])


def test_the_resource_says_how_to_read_the_file(
    engine: RunEngine, detector: StinsDetector, documents: Documents, chain: Chain
) -> None:
    engine(bp.count([detector]))
    (resource,) = documents.images
    assert resource["mimetype"] == "application/x-hdf5"
    assert resource["uri"].startswith(f"file://localhost{chain.root}/det_image-")
    assert resource["parameters"] == {
        "dataset": "/entry/instrument/detector/data",
        "chunk_shape": [1, *SHAPE],
        "swmr": True,
        "join_method": "stack",
    }


def test_the_numbers_of_an_event_are_those_of_its_last_frame(
    engine: RunEngine, detector: StinsDetector, documents: Documents, chain: Chain
) -> None:
    detector.frames.put(2)
    engine(bp.count([detector], 2))
    last = [chain.reference(frame) for frame in (1, 3)]
    totals = [event["data"]["det_total"] for event in documents.of("event")]
    assert totals == [float(frame.sum()) for frame in last]
    assert [event["data"]["det_maximum"] for event in documents.of("event")] == [float(f.max()) for f in last]


def test_scan_keeps_positions_and_frames_together(
    engine: RunEngine, detector: StinsDetector, motor: SynAxis, documents: Documents, chain: Chain
) -> None:
    engine(bp.scan([detector], motor, -1, 1, 5))
    assert [event["data"]["motor"] for event in documents.of("event")] == [-1, -0.5, 0, 0.5, 1]
    assert np.array_equal(recorded(documents), [chain.reference(frame) for frame in range(5)])


def test_grid_scan_with_several_frames_per_point(
    engine: RunEngine, detector: StinsDetector, motor: SynAxis, documents: Documents, chain: Chain
) -> None:
    detector.frames.put(3)
    engine(bp.grid_scan([detector], motor, 0, 1, 2, SynAxis(name="other"), 0, 1, 2))
    (descriptor,) = documents.of("descriptor")
    assert descriptor["data_keys"]["det_image"]["shape"] == [3, *SHAPE]
    assert documents.indices == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert np.array_equal(recorded(documents), [chain.reference(frame) for frame in range(12)])


def test_the_configuration_stands_in_the_descriptor(
    engine: RunEngine, detector: StinsDetector, documents: Documents
) -> None:
    detector.configure({"exposure_s": 0.002, "incident_energy": 8000.0})
    engine(bp.count([detector]))
    configuration = documents.of("descriptor")[0]["configuration"]["det"]
    expected = {"exposure_s": 0.002, "incident_energy": 8000.0, "frames": 1, "trigger_mode": "software"}
    assert {name: configuration["data"][f"det_{name}"] for name in expected} == expected
    assert configuration["data_keys"]["det_incident_energy"]["units"] == "eV"


def test_each_run_has_a_file_of_its_own(engine: RunEngine, detector: StinsDetector, documents: Documents) -> None:
    engine(bp.count([detector]))
    engine(bp.count([detector]))
    first, second = documents.images
    assert first["uri"] != second["uri"]
    assert documents.indices == [(0, 1), (0, 1)]


def test_a_fly_series_tells_of_its_frames_while_it_runs(
    engine: RunEngine, detector: StinsDetector, documents: Documents, chain: Chain
) -> None:
    detector.configure({"exposure_s": 0.01, "period_s": 0.01})
    engine(fly_series(detector, 60, flush_period_s=0.1))
    indices = documents.indices
    assert len(indices) > 1
    assert [start for start, _ in indices] == [0, *(stop for _, stop in indices[:-1])]
    assert indices[-1][1] == 60
    assert documents.stop["num_events"] == {"primary": 60}
    assert documents.of("descriptor")[0]["configuration"]["det"]["data"]["det_trigger_mode"] == "internal"
    assert np.array_equal(recorded(documents), [chain.reference(frame) for frame in range(60)])


def test_a_fly_series_with_several_frames_per_event(
    engine: RunEngine, detector: StinsDetector, documents: Documents
) -> None:
    engine(fly_series(detector, 12, frames_per_event=4, exposure_s=0.002))
    assert documents.of("descriptor")[0]["data_keys"]["det_image"]["shape"] == [4, *SHAPE]
    assert documents.indices[-1][1] == 3
    assert documents.of("descriptor")[0]["configuration"]["det"]["data"]["det_exposure_s"] == 0.002


def test_frames_that_make_no_whole_events_are_refused(detector: StinsDetector) -> None:
    with pytest.raises(StinsError, match="frames: got 10, expected a multiple of frames_per_event = 4"):
        list(fly_series(detector, 10, frames_per_event=4))


def test_kickoff_complete_and_collect_without_our_plan(
    engine: RunEngine, detector: StinsDetector, documents: Documents
) -> None:
    @bpp.stage_decorator([detector])
    @bpp.run_decorator()
    def plan():
        yield from bps.prepare(detector, 8, wait=True)
        yield from bps.declare_stream(detector, name="fast", collect=True)
        yield from bps.clear_checkpoint()
        yield from bps.kickoff(detector, wait=True)
        yield from bps.complete(detector, wait=True)
        yield from bps.collect(detector, name="fast")

    engine(plan())
    assert documents.indices == [(0, 8)]
    assert documents.stop["num_events"] == {"fast": 8}


def test_a_step_scan_and_a_fly_series_after_one_another(
    engine: RunEngine, detector: StinsDetector, documents: Documents
) -> None:
    engine(bp.count([detector], 2))
    engine(fly_series(detector, 5))
    engine(bp.count([detector], 2))
    assert [stop["exit_status"] for stop in documents.of("stop")] == ["success"] * 3


def test_best_effort_callback_shows_the_numbers(engine: RunEngine, detector: StinsDetector) -> None:
    table = BestEffortCallback()
    table.disable_plots()
    shown = io.StringIO()
    token = engine.subscribe(table)
    try:
        with redirect_stdout(shown):
            engine(bp.count([detector], 2))
            engine(fly_series(detector, 5))
    finally:
        engine.unsubscribe(token)
    assert "det_total" in shown.getvalue()
    assert "det_image" not in shown.getvalue().split("generator count")[0].split("New stream")[1]


def test_a_detector_is_printed_with_its_state_and_its_last_series(
    engine: RunEngine, detector: StinsDetector, documents: Documents
) -> None:
    engine(bp.count([detector], 2))
    file = documents.images[0]["uri"].removeprefix("file://localhost")
    line = rf"det IDLE; 2, none missing; .*{re.escape(file)} \(complete\)"
    assert re.fullmatch(line, str(detector))
    assert re.fullmatch(rf"<StinsDetector {line}>", repr(detector))
    # A start document stays: it says what the detector is, and not how it was.
    (described,) = documents.of("start")[0]["plan_args"]["detectors"]
    assert described.startswith("StinsDetector(prefix='', name='det'")


def test_a_progress_bar_goes_to_the_end(
    engine: RunEngine, detector: StinsDetector, capsys: pytest.CaptureFixture[str]
) -> None:
    detector.configure({"exposure_s": 0.01, "period_s": 0.01})
    engine.waiting_hook = ProgressBarManager()
    try:
        engine(fly_series(detector, 50))
    finally:
        engine.waiting_hook = None
    assert "det: 100%" in capsys.readouterr().out


@pytest.mark.parametrize("names", [["dark", "primary"], ["primary", None, "primary"]], ids=["streams", "runs"])
def test_a_second_stream_or_run_in_one_staging_is_refused_by_name(
    engine: RunEngine, detector: StinsDetector, documents: Documents, names: list[str | None]
) -> None:
    @bpp.stage_decorator([detector])
    def plan():
        yield from bps.open_run()
        for name in names:
            if name is None:
                yield from bps.close_run()
                yield from bps.open_run()
            else:
                yield from bps.trigger_and_read([detector], name=name)
        yield from bps.close_run()

    with pytest.raises(StinsError, match="det: describe: got a second run or stream after 1 events"):
        engine(plan())
    assert documents.stop["exit_status"] == "fail"
    assert documents.indices == [(0, 1)]
