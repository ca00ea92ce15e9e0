"""Several detectors in one stream, several kickoffs, pulses, and an axis that gives them."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import h5py
import msgspec
import numpy as np
import pytest
from bluesky import Msg, RunEngine, protocols
from bluesky.utils import FailedStatus

from stins import StinsError
from stins.control import SeriesState
from stins_ophyd import AxisFlight, Beamline, DetectorTrigger, PulsingAxis, StinsDetector, TriggerInfo
from stins_ophyd.beamline import BeamlineConfig
from stins_ophyd.plans import fly_scan
from tests.stins_ophyd.chain import QUICK, SETTINGS, Documents, reference
from tests.stins_ophyd.interruptions import Row, Stand, account, compare, told

_NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def beamline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beamline]:
    """Three small detectors; b has two recorders, which split their files."""
    settings = {"shape": [16, 24], "pool": 4, **SETTINGS}
    one = {"acquirer": {"backend": "simulated", "settings": settings}, "recorder": {"order": {"gap_timeout_s": 0.5}}}
    two = {**one, "recorder": {**one["recorder"], "frames_per_file": 4}, "recorders": 2}
    data = tmp_path_factory.mktemp("three") / "data"
    with Beamline(BeamlineConfig(name="three", data=data, detectors={"a": one, "b": two, "c": one})) as beamline:
        yield beamline


@pytest.fixture(scope="module")
def three(beamline: Beamline) -> Iterator[list[StinsDetector]]:
    """Their devices."""
    detectors = [StinsDetector(name=name, controller=beamline.detectors[name].controller()) for name in _NAMES]
    for detector in detectors:
        # On a busy machine the parts of a shared series take their time to be joined.
        detector.controller.deadlines = msgspec.structs.replace(QUICK, stall_s=20.0, close_s=30.0)
        detector.controller.connect()
        detector.controller.reset()  # starts the threads that talk to several recorders
    yield detectors
    for detector in detectors:
        detector.destroy()


@pytest.fixture(scope="module")
def pool(beamline: Beamline) -> list[np.ndarray]:
    """The frames of each of them."""
    return [reference(beamline.detectors["a"].acquirer.ready.control, frame) for frame in range(4)]


@pytest.fixture
def detectors(three: list[StinsDetector]) -> list[StinsDetector]:
    """They, idle and with the usual settings."""
    for detector in three:
        detector.controller.make_ready()
        detector.controller.configure({**SETTINGS, "cable_mode": "edge"})
        detector.frames.put(1)
    return three


def flight(
    detectors: list[StinsDetector],
    info: TriggerInfo | int,
    *,
    axis: PulsingAxis | None = None,
    course: AxisFlight | None = None,
    pulses: Callable[[], object] = lambda: None,
) -> Iterator[Msg]:
    """One stream of all of them; the axis, which has one of its own, flies with them."""
    flyers = [*detectors, *([axis] if axis else [])]

    def run() -> Iterator[Msg]:
        for detector in detectors:
            yield from bps.prepare(detector, info, group="prepare")
        if axis is not None:
            yield from bps.prepare(axis, course, group="prepare")
            yield from bps.declare_stream(axis, name="axis_positions", collect=True)
        yield from bps.wait("prepare")
        yield from bps.declare_stream(*detectors, name="primary", collect=True)
        yield from bps.clear_checkpoint()
        for _ in range(info.kickoffs if isinstance(info, TriggerInfo) else 1):
            yield from bps.kickoff_all(*flyers, wait=True)
            pulses()
            yield from bps.collect_while_completing(flyers, detectors, 0.05, "primary")
        if axis is not None:
            yield from bps.collect(axis, name="axis_positions")

    return bpp.stage_wrapper(bpp.run_wrapper(run()), detectors)


@pytest.mark.parametrize("number", [2, 3])
def test_several_detectors_fly_in_one_stream(
    engine: RunEngine, detectors: list[StinsDetector], documents: Documents, number: int
) -> None:
    flying = detectors[:number]
    for detector, period_s in zip(flying, (0.01, 0.004, 0.001), strict=False):
        detector.configure({"period_s": period_s})
    engine(flight(flying, 20))
    assert documents.stop["exit_status"] == "success"
    assert documents.stop["num_events"] == {"primary": 20}
    first, *others = [told(documents, f"{detector.name}_image") for detector in flying]
    assert first[-1][1] == 20
    assert all(other == first for other in others)


def test_detectors_with_other_numbers_of_frames_share_the_events(
    engine: RunEngine, detectors: list[StinsDetector], documents: Documents
) -> None:
    slow, fast = detectors[:2]

    def plan() -> Iterator[Msg]:
        yield from bps.prepare(slow, TriggerInfo(4), wait=True)
        yield from bps.prepare(fast, TriggerInfo(4, collections_per_event=3), wait=True)
        yield from bps.declare_stream(slow, fast, name="primary", collect=True)
        yield from bps.clear_checkpoint()
        yield from bps.kickoff_all(slow, fast, wait=True)
        yield from bps.collect_while_completing([slow, fast], [slow, fast], 0.05, "primary")

    engine(bpp.stage_wrapper(bpp.run_wrapper(plan()), [slow, fast]))
    assert documents.stop["num_events"] == {"primary": 4}
    assert [account(detector).rows for detector in (slow, fast)] == [4, 12]
    keys = documents.of("descriptor")[0]["data_keys"]
    assert [keys[name]["shape"] for name in ("a_image", "b_image")] == [[16, 24], [3, 16, 24]]


def test_a_detector_that_loses_a_frame_ends_the_stream_there_and_names_itself(
    engine: RunEngine, detectors: list[StinsDetector], documents: Documents
) -> None:
    whole, losing = detectors[:2]
    losing.configure({"faults": [{"kind": "drop", "frame": 5}]})
    with pytest.raises(FailedStatus, match=r"b complete failed: .*1 frame is missing: 5"):
        engine(flight([whole, losing], 12))
    assert documents.stop["exit_status"] == "fail"
    assert "b complete failed" in documents.stop["reason"]
    assert all(stop <= 5 for _, stop in told(documents, "a_image"))
    assert told(documents, "a_image") == told(documents, "b_image")


def test_several_kickoffs_make_one_file(
    engine: RunEngine, detectors: list[StinsDetector], documents: Documents
) -> None:
    a, b = detectors[:2]
    states: list[SeriesState] = []
    between = lambda: states.append(a.controller.snapshot.recorder.series.state)  # noqa: E731
    engine(flight([a, b], TriggerInfo(12, events_per_kickoff=4, collections_per_event=2), pulses=between))
    assert documents.stop["num_events"] == {"primary": 12}
    assert states == [SeriesState.OPEN] * 3
    for detector in (a, b):
        series = account(detector)
        assert (series.state, series.rows) == (SeriesState.COMPLETE, 24)
        assert told(documents, f"{detector.name}_image")[-1][1] == 12


IN_TWO = TriggerInfo(6, DetectorTrigger.EXTERNAL_EDGE, events_per_kickoff=3)


def test_each_kickoff_takes_the_frames_of_its_own_pulses(
    engine: RunEngine, detectors: list[StinsDetector], documents: Documents
) -> None:
    a, b = detectors[:2]
    states: list[SeriesState] = []

    def pulses() -> None:
        states.append(a.controller.snapshot.recorder.series.state)
        for detector in (a, b):
            detector.controller.pulse(count=3)

    engine(flight([a, b], IN_TWO, pulses=pulses))
    assert documents.stop["num_events"] == {"primary": 6}
    assert states == [SeriesState.OPEN] * 2
    for detector in (a, b):
        assert (account(detector).state, account(detector).rows) == (SeriesState.COMPLETE, 6)
        assert told(documents, f"{detector.name}_image")[-1][1] == 6


@pytest.mark.parametrize("late_s", [0.0, 0.25], ids=["just before", "long before"])
def test_a_pulse_between_two_kickoffs_is_named_and_is_no_event(
    engine: RunEngine, detectors: list[StinsDetector], documents: Documents, late_s: float
) -> None:
    """Also one whose exposure is not over when the next kickoff comes."""
    detector = detectors[0]
    detector.configure({"exposure_s": 0.05, "period_s": 0.05})

    def plan() -> Iterator[Msg]:
        yield from bps.prepare(detector, IN_TWO, wait=True)
        yield from bps.declare_stream(detector, name="primary", collect=True)
        yield from bps.clear_checkpoint()
        yield from bps.kickoff(detector, wait=True)
        detector.controller.pulse(count=3)
        yield from bps.collect_while_completing([detector], [detector], 0.05, "primary")
        detector.controller.pulse()
        yield from bps.sleep(late_s)
        yield from bpp.finalize_wrapper(bps.kickoff(detector, wait=True), lambda: bps.collect(detector, name="primary"))

    with pytest.raises(FailedStatus, match="pulses took 1 frame, from frame 3 on, before this kickoff"):
        engine(bpp.stage_wrapper(bpp.run_wrapper(plan()), [detector]))
    assert "with pulses only between a kickoff and its complete" in documents.stop["reason"]
    assert documents.stop["num_events"] == {"primary": 3}
    assert account(detector).state is SeriesState.INCOMPLETE


def test_more_pulses_than_a_kickoff_has_events_are_named(
    engine: RunEngine, detectors: list[StinsDetector], documents: Documents
) -> None:
    """Seen while it is completed, or with the next kickoff: it depends on when they come."""
    detector = detectors[0]
    texts = "pulses took [45] frames in this kickoff|pulses took [12] frames, from frame 3 on, before this kickoff"
    with pytest.raises(FailedStatus, match=texts):
        engine(flight([detector], IN_TWO, pulses=lambda: detector.controller.pulse(count=5)))
    assert documents.stop["num_events"].get("primary", 0) <= 3
    assert account(detector).state is SeriesState.INCOMPLETE


def test_each_kickoff_has_a_progress_of_its_own(detectors: list[StinsDetector]) -> None:
    detector = detectors[0]
    detector.configure({"exposure_s": 0.05, "period_s": 0.05})
    detector.events_to_kickoff.put(3)
    detector.stage()
    detector.prepare(TriggerInfo(6)).wait(20)
    for kickoff in range(2):
        detector.kickoff().wait(20)
        status = detector.complete()
        seen: list[dict[str, Any]] = []
        status.watch(lambda seen=seen, **progress: seen.append(progress))
        status.wait(20)
        assert (seen[-1]["current"], seen[-1]["target"], seen[-1]["fraction"]) == (3, 3, 0.0)
        assert detector.get_index() == 3 * (kickoff + 1)
    detector.unstage()
    assert account(detector).state is SeriesState.COMPLETE


def test_kickoffs_of_another_size_than_prepared_are_refused(detectors: list[StinsDetector]) -> None:
    detector = detectors[0]
    detector.stage()
    detector.prepare(TriggerInfo(6, events_per_kickoff=3)).wait(20)
    detector.events_to_kickoff.put(2)
    with pytest.raises(StinsError, match="a_events_to_kickoff: got 2, expected 3 as prepared"):
        detector.kickoff()
    detector.unstage()


@pytest.mark.parametrize("trigger", [DetectorTrigger.EXTERNAL_EDGE, DetectorTrigger.EXTERNAL_LEVEL])
def test_each_pulse_takes_a_frame(
    engine: RunEngine, detectors: list[StinsDetector], documents: Documents, trigger: DetectorTrigger
) -> None:
    detector = detectors[0]
    info = TriggerInfo(3, trigger, collections_per_event=2)
    engine(flight([detector], info, pulses=lambda: detector.controller.pulse(0.004, count=6)))
    assert documents.stop["num_events"] == {"primary": 3}
    assert account(detector).rows == 6
    configuration = documents.of("descriptor")[0]["configuration"]["a"]["data"]
    assert configuration["a_trigger_mode"] == configuration["a_cable_mode"] == trigger.value


def test_what_ophyd_async_says_is_done(engine: RunEngine, detectors: list[StinsDetector], documents: Documents) -> None:
    core = pytest.importorskip("ophyd_async.core")
    detector = detectors[0]
    info = core.TriggerInfo(trigger=core.DetectorTrigger.EXTERNAL_EDGE, number_of_events=4, livetime=0.002)
    engine(flight([detector], info, pulses=lambda: detector.controller.pulse(count=4)))
    assert documents.stop["num_events"] == {"primary": 4}
    assert documents.of("descriptor")[0]["configuration"]["a"]["data"]["a_exposure_s"] == 0.002


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_detector_of_ophyd_async_flies_in_the_same_stream_with_the_same_trigger_info(
    engine: RunEngine, detectors: list[StinsDetector], documents: Documents, tmp_path: Path
) -> None:
    core, sim = pytest.importorskip("ophyd_async.core"), pytest.importorskip("ophyd_async.sim")
    paths = core.StaticPathProvider(core.UUIDFilenameProvider(), tmp_path)
    with core.init_devices():
        theirs = sim.SimBlobDetector(paths, name="theirs")
    ours = detectors[0]
    engine(flight([ours, theirs], core.TriggerInfo(number_of_events=5, livetime=0.01, collections_per_event=2)))
    assert documents.stop["num_events"] == {"primary": 5}
    assert told(documents, "a_image") == told(documents, "theirs")
    assert account(ours).rows == 10


def test_pulses_that_do_not_come_fail_the_plan_in_the_time_that_was_given(
    engine: RunEngine, detectors: list[StinsDetector], documents: Documents
) -> None:
    detector = detectors[0]
    info = TriggerInfo(3, DetectorTrigger.EXTERNAL_EDGE, exposure_timeout=0.01)
    with pytest.raises(FailedStatus, match=r"it has sent 1 of 3; nothing moved for 1 s; did the pulses come"):
        engine(flight([detector], info, pulses=detector.controller.pulse))
    assert "did the pulses come" in documents.stop["reason"]
    assert account(detector).state is SeriesState.INCOMPLETE


def test_a_detector_flies_beside_an_axis_that_triggers_it(
    engine: RunEngine, detectors: list[StinsDetector], documents: Documents
) -> None:
    flying = detectors[:2]
    axis = PulsingAxis(name="axis", pulses=[detector.controller.pulse for detector in flying])
    course = AxisFlight(-1.0, 1.0, 9, time_s=0.4)
    engine(flight(flying, TriggerInfo(9, DetectorTrigger.EXTERNAL_EDGE), axis=axis, course=course))
    assert documents.stop["exit_status"] == "success"
    assert documents.stop["num_events"] == {"primary": 9, "axis_positions": 9}
    pages = documents.of("event_page")
    places = [place for page in pages for place in page["data"]["axis"]] or [
        event["data"]["axis"] for event in documents.of("event")
    ]
    assert places == pytest.approx(np.linspace(-1, 1, 9))
    assert [account(detector).rows for detector in flying] == [9, 9]
    times = [exposures(detector) for detector in flying]
    # The frames began with their pulses, in 0.4 s, less what a busy machine took for the first one.
    assert all(began[-1] - began[0] > 0.2 for began in times)


def exposures(detector: StinsDetector) -> np.ndarray:
    """When each of the last series' frames began, in s."""
    with h5py.File(account(detector).file) as file:
        return np.asarray(file["/entry/instrument/detector/timestamp"])


def test_an_axis_is_collected_by_events_and_never_by_assets() -> None:
    axis = PulsingAxis(name="axis")
    for protocol in (protocols.Movable, protocols.Flyable, protocols.Preparable, protocols.EventCollectable):
        assert isinstance(axis, protocol)
    assert not isinstance(axis, protocols.WritesExternalAssets)


def test_an_axis_that_is_stopped_fails_its_flight_and_says_where() -> None:
    axis = PulsingAxis(name="axis")
    axis.prepare(AxisFlight(0.0, 10.0, 3, time_s=20.0)).wait(5)
    axis.kickoff().wait(5)
    status = axis.complete()
    axis.stop()
    with pytest.raises(StinsError, match="stopped at point"):
        status.wait(5)
    assert "axis complete failed: stopped at point" in str(status)


def test_a_fly_scan_that_is_paused_leaves_its_axis_at_rest(
    engine: RunEngine, detectors: list[StinsDetector], documents: Documents, run_until: Callable[..., None]
) -> None:
    axis, passed = PulsingAxis(name="axis", pulses=[detectors[0].controller.pulse]), threading.Event()
    axis.readback.subscribe(lambda value, **_: passed.set() if value > 0.02 else None, run=False)
    run_until(fly_scan(detectors[0], axis, 0.0, 1.0, 200, time_s=20.0, exposure_s=0.001), passed)
    assert engine.state == "idle"
    assert (documents.stop["exit_status"], account(detectors[0]).state) == ("fail", SeriesState.INCOMPLETE)
    assert "paused in the middle of a fly series" in documents.stop["reason"]
    position = axis.position
    threading.Event().wait(0.25)
    assert 0.0 < axis.position == position < 1.0


def test_an_axis_that_is_unstaged_stands_still_and_pulses_no_more() -> None:
    pulses: list[float] = []
    axis = PulsingAxis(name="axis", pulses=[pulses.append])
    axis.stage()
    axis.prepare(AxisFlight(0.0, 10.0, 1000, time_s=20.0)).wait(5)
    axis.kickoff().wait(5)
    status = axis.complete()
    axis.unstage()
    assert not status.done  # nobody waits for it who should be disturbed
    given, position = len(pulses), axis.position
    threading.Event().wait(0.05)
    assert (len(pulses), axis.position, len(list(axis.collect()))) == (given, position, given)
    axis.set(0.0).wait(5)
    with pytest.raises(StinsError, match="stopped at point"):
        status.wait(5)


def test_a_flight_that_nobody_waits_for_any_more_is_stopped_by_the_next() -> None:
    axis = PulsingAxis(name="axis")
    flown = []
    for start in (0.0, 5.0):
        axis.prepare(AxisFlight(start, 10.0, 3, time_s=20.0)).wait(5)
        assert axis.position == start
        axis.kickoff().wait(5)
        flown.append(axis.complete())
    assert flown[0].done
    assert not flown[1].done
    axis.stop()
    for status in flown:
        with pytest.raises(StinsError, match="stopped at point"):
            status.wait(5)
    assert all(event["data"]["axis"] >= 5.0 for event in axis.collect())


@pytest.mark.parametrize(
    "row",
    [
        Row("count", "exposing", "immediate", "resume", "success", events=3, retaken=None),
        Row("count", "exposing", "suspended", "resume", "success", events=3, retaken=None),
        Row("count of 3", "exposing", "immediate", "resume", "success", events=3, retaken=None),
        Row("count", "exposing", "deferred", "resume", "success", events=3),
        Row("count", "exposing", "immediate", "abort", "abort", SeriesState.INCOMPLETE, retaken=None),
        Row("kickoffs", "exposing", "immediate", "", "fail", SeriesState.INCOMPLETE),
        Row("kickoffs", "exposing", "deferred", "", "success", events=6),
    ],
    ids=str,
)
def test_two_detectors_agree_after_an_interruption(
    engine: RunEngine, detectors: list[StinsDetector], documents: Documents, pool: list[np.ndarray], row: Row
) -> None:
    stand = Stand(engine, detectors[:2], documents)
    assert stand.interrupt(row) is None
    assert documents.stop["exit_status"] == row.exit_status
    compare(stand, row, pool)
