"""The plans for series: several detectors, settings for one run, and parameters that a queue server can fill in."""

import math
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import pytest
from bluesky import Msg, RunEngine
from bluesky.callbacks.best_effort import BestEffortCallback
from bluesky.simulators import summarize_plan
from bluesky.utils import FailedStatus, RunEngineInterrupted, single_gen
from bluesky_queueserver.manager.profile_ops import existing_plans_and_devices_from_nspace, validate_plan
from ophyd import Signal
from ophyd.sim import SynAxis

from stins import StinsError
from stins_ophyd import AxisFlight, CombinedState, PulsingAxis, StinsDetector, plans
from stins_ophyd.plans import count_series, dark_series, flat_series, fly_scan, fly_series, take_live
from stins_ophyd.plans.stubs import fly_run
from stins_ophyd.status import ProgressStatus
from tests.stins_ophyd.chain import SETTINGS, SHAPE, Chain, Documents

PLANS = tuple(plans.__all__)
HOW_TO = Path(__file__).parent.parent.parent / "docs" / "how-to" / "write-a-plan.md"


@pytest.fixture(scope="module")
def second_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    chain = Chain(tmp_path_factory.mktemp("second"))
    yield chain
    chain.stop()


@pytest.fixture
def second(second_chain: Chain) -> Iterator[StinsDetector]:
    """A detector beside the one that all tests share."""
    detector = StinsDetector(name="second", controller=second_chain.controller())
    detector.controller.make_ready()
    detector.apply(SETTINGS)
    yield detector
    detector.destroy()


def widths(documents: Documents) -> dict[str, int]:
    """How many events each detector's documents point at."""
    keys = {doc["uid"]: doc["data_key"] for doc in documents.images}
    told = dict.fromkeys(keys.values(), 0)
    for doc in (doc for doc in documents.of("stream_datum") if doc["stream_resource"] in keys):
        told[keys[doc["stream_resource"]]] += doc["indices"]["stop"] - doc["indices"]["start"]
    return told


def test_a_fly_series_of_two_detectors_is_one_stream(
    engine: RunEngine, detector: StinsDetector, second: StinsDetector, documents: Documents
) -> None:
    engine(fly_series([detector, second], 20, exposure_s=0.002, deadtime_s=0.003, flush_period_s=0.05))
    assert widths(documents) == {"det_image": 20, "second_image": 20}
    assert documents.stop["num_events"] == {"primary": 20}
    assert documents.of("start")[0]["detectors"] == ["det", "second"]
    (descriptor,) = documents.of("descriptor")
    assert {"det_image", "second_image", "det_frame_number", "second_frame_number"} <= set(descriptor["data_keys"])


def test_a_detector_that_loses_a_frame_ends_the_stream_of_both_there(
    engine: RunEngine, detector: StinsDetector, second: StinsDetector, documents: Documents
) -> None:
    detector.apply({"exposure_s": 0.002, "period_s": 0.005})
    second.apply({"exposure_s": 0.002, "period_s": 0.005, "faults": [{"kind": "drop", "frame": 12}]})
    with pytest.raises(FailedStatus):
        engine(fly_series([detector, second], 20))
    assert widths(documents) == {"det_image": 12, "second_image": 12}
    assert documents.stop["exit_status"] == "fail"
    assert documents.stop["reason"].startswith("second complete failed: recorder")


def test_count_series_takes_frames_at_each_point_with_settings_of_its_own(
    engine: RunEngine, detector: StinsDetector, motor: SynAxis, documents: Documents
) -> None:
    detector.configure({"exposure_s": 0.001, "period_s": 0.002})
    engine(count_series([detector, motor], 2, frames=3, exposure_s=0.005))
    (descriptor,) = documents.of("descriptor")
    assert descriptor["data_keys"]["det_image"]["shape"] == [3, *SHAPE]
    configuration = descriptor["configuration"]["det"]["data"]
    assert [configuration[f"det_{name}"] for name in ("frames", "exposure_s", "period_s")] == [3, 0.005, 0.005]
    assert documents.indices == [(0, 1), (1, 2)]
    assert documents.of("start")[0]["plan_name"] == "count_series"
    assert [detector.frames.get(), detector.exposure_s.get(), detector.period_s.get()] == [1, 0.001, 0.002]


def test_settings_are_put_back_when_the_run_fails(
    engine: RunEngine, detector: StinsDetector, documents: Documents
) -> None:
    detector.configure({"exposure_s": 0.002, "faults": [{"kind": "drop", "frame": 1}]})
    with pytest.raises(FailedStatus):
        engine(fly_series(detector, 5, exposure_s=0.004))
    assert documents.of("descriptor")[0]["configuration"]["det"]["data"]["det_exposure_s"] == 0.004
    assert detector.exposure_s.get() == 0.002


def places(documents: Documents) -> list[float]:
    """Where the axis was, by its events."""
    return [place for page in documents.of("event_page") for place in page["data"]["axis"]]


@pytest.mark.parametrize("level", [False, True], ids=["edge", "level"])
def test_a_fly_scan_has_a_frame_of_each_detector_at_each_point_of_the_axis(
    engine: RunEngine, detector: StinsDetector, second: StinsDetector, documents: Documents, level: bool
) -> None:
    axis = PulsingAxis(name="axis", pulses=[detector.controller.pulse, second.controller.pulse])
    engine(fly_scan([detector, second], axis, -1, 1, 5, time_s=0.2, exposure_s=0.003, level=level))
    assert documents.stop["num_events"] == {"primary": 5, "axis_positions": 5}
    assert widths(documents) == {"det_image": 5, "second_image": 5}
    assert places(documents) == [-1, -0.5, 0, 0.5, 1]
    assert documents.of("start")[0]["motors"] == ["axis"]


def test_a_fly_scan_is_shown_to_its_end_by_blueskys_own_callback(
    engine: RunEngine, detector: StinsDetector, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.subscribe(BestEffortCallback())
    engine(fly_scan(detector, PulsingAxis(name="axis", pulses=[detector.controller.pulse]), 0, 1, 3, time_s=0.1))
    shown = capsys.readouterr().out
    assert "exception" not in shown
    # Its table has no rows: the frames are no events. So a line says how it ended.
    table, told = shown.rsplit("generator fly_scan", 1)[1].rsplit("det: ", 1)
    assert "(scan num" in table
    assert re.fullmatch(r"frames 3 of 3, none missing; (.* frames/s; )?/.*\.nxs \(complete\)\n", told)


def test_a_flight_that_failed_is_told_with_what_there_is_and_why(
    engine: RunEngine, detector: StinsDetector, capsys: pytest.CaptureFixture[str]
) -> None:
    detector.configure({"faults": [{"kind": "drop", "frame": 2}]})
    with pytest.raises(FailedStatus):
        engine(dark_series(detector, 5))
    told = capsys.readouterr().out
    assert re.match(r"det: frames 4 of 5, 1 missing; .*\.nxs \(incomplete\); .*1 frame is missing", told), told


def test_a_fly_scan_whose_axis_is_stopped_tells_of_the_points_that_it_reached(
    engine: RunEngine, detector: StinsDetector, documents: Documents
) -> None:
    axis = PulsingAxis(name="axis", pulses=[detector.controller.pulse])
    axis.readback.subscribe(lambda value, **_: axis.stop() if value == 0.5 else None, run=False)
    with pytest.raises(FailedStatus, match=r"axis complete failed: stopped at point 2 of 3, at 0.5"):
        engine(fly_scan(detector, axis, 0, 1, 3, time_s=0.3))
    assert places(documents) == [0, 0.5]
    # The frame of the last pulse may still be on its way.
    assert {stop for _, stop in documents.indices} <= {1, 2}
    assert documents.stop["exit_status"] == "fail"


def test_a_fly_scan_whose_detector_fails_has_stopped_its_axis_before_the_run_ends(
    engine: RunEngine, detector: StinsDetector, documents: Documents
) -> None:
    pulses: list[float] = []
    axis = PulsingAxis(name="axis", pulses=[detector.controller.pulse, pulses.append])
    detector.configure({"faults": [{"kind": "drop", "frame": 1}]})
    at_the_end: list[tuple[bool, int]] = []
    engine.subscribe(lambda *_: at_the_end.append((axis.flies, len(pulses))), "stop")
    with pytest.raises(FailedStatus, match="1 frame is missing: 1"):
        engine(fly_scan(detector, axis, 0, 1, 21, time_s=5))
    assert at_the_end == [(False, len(pulses))]
    assert len(places(documents)) == len(pulses) < 21
    assert documents.indices == [(0, 1)]
    # The next one has its own pulses, and no others.
    detector.configure({"faults": []})
    documents.all.clear()
    engine(fly_scan(detector, axis, 2, 3, 3, time_s=0.1))
    assert places(documents) == [2, 2.5, 3]
    assert widths(documents) == {"det_image": 3}


def test_a_fly_scan_faster_than_the_exposure_that_is_set_is_refused_before_its_run(
    engine: RunEngine, detector: StinsDetector, second: StinsDetector, documents: Documents
) -> None:
    second.configure({"exposure_s": 0.1})
    axis = PulsingAxis(name="axis")
    with pytest.raises(StinsError, match=r"^second: exposure_s: got 0.1, which is set, expected less than time_s"):
        engine(fly_scan([detector, second], axis, 0, 1, 11, time_s=1))
    assert documents.all == []
    assert second.exposure_s.get() == 0.1


class FarAxis(PulsingAxis):
    """One that is on its way for a while, and sees what the detector is armed for when it arrives."""

    def __init__(self, detector: StinsDetector) -> None:
        super().__init__(name="far", pulses=[detector.controller.pulse])
        self.detector = detector
        self.met: list[CombinedState] = []

    def prepare(self, value: AxisFlight) -> ProgressStatus:
        """Goes there, not at once."""
        status = ProgressStatus(self, target=1, what="prepare")
        super().prepare(value)

        def arrive() -> None:
            self.met.append(self.detector.controller.snapshot.state)
            status.set_finished()

        threading.Timer(0.3, arrive).start()
        return status


def test_what_takes_the_pulses_is_armed_once_the_axis_is_where_it_begins(
    engine: RunEngine, detector: StinsDetector, documents: Documents
) -> None:
    axis = FarAxis(detector)
    engine(fly_scan(detector, axis, 0, 1, 3, time_s=0.1))
    assert axis.met == [CombinedState.IDLE]
    assert documents.stop["num_events"] == {"primary": 3, "far_positions": 3}


class Shutter(Signal):
    """What was set, in order."""

    def __init__(self, name: str, value: object) -> None:
        super().__init__(name=name, value=value)
        self.history = [value]

    def put(self, value: object, **keywords: Any) -> None:
        super().put(value, **keywords)
        self.history.append(value)


def test_dark_frames_are_a_run_of_their_own_behind_a_closed_shutter(
    engine: RunEngine, detector: StinsDetector, documents: Documents
) -> None:
    shutter = Shutter("shutter", "open")
    engine(dark_series(detector, 5, shutter=shutter, exposure_s=0.002))
    (start,) = documents.of("start")
    assert (start["plan_name"], start["purpose"]) == ("dark_series", "dark")
    assert documents.indices[-1][1] == 5
    assert shutter.history == ["open", "closed", "open"]


def test_the_shutter_is_opened_also_if_the_dark_frames_fail(
    engine: RunEngine, detector: StinsDetector, documents: Documents
) -> None:
    detector.configure({"faults": [{"kind": "drop", "frame": 1}]})
    shutter = Shutter("shutter", 0)
    with pytest.raises(FailedStatus):
        engine(dark_series(detector, 5, shutter=shutter, closed=2, opened=1))
    assert shutter.history == [0, 2, 1]


@pytest.mark.parametrize(("then", "left"), [("abort", ["open", "closed", "open"]), ("halt", ["open", "closed"])])
def test_only_a_halt_leaves_the_shutter_closed(
    engine: RunEngine, detector: StinsDetector, then: str, left: list[str]
) -> None:
    shutter = Shutter("shutter", "open")

    def pause_at_open_run(message: Msg) -> tuple[Any, None]:
        return (bpp.pchain(bps.pause(), single_gen(message)) if message.command == "open_run" else None), None

    with pytest.raises(RunEngineInterrupted):
        engine(bpp.plan_mutator(dark_series(detector, 5, shutter=shutter), pause_at_open_run))
    getattr(engine, then)()
    assert shutter.history == left


def test_flat_frames_are_taken_with_the_sample_away_and_then_it_is_back(
    engine: RunEngine, detector: StinsDetector, motor: SynAxis, documents: Documents
) -> None:
    motor.set(3.0).wait()
    went: list[float] = []
    motor.readback.subscribe(lambda value, **_: went.append(value), run=False)
    engine(flat_series([detector], 4, sample=motor, out=-20.0))
    assert documents.of("start")[0]["purpose"] == "flat"
    assert documents.indices[-1][1] == 4
    assert went == [-20.0, 3.0]


def test_live_frames_leave_no_run_and_no_file(
    engine: RunEngine,
    detector: StinsDetector,
    documents: Documents,
    chain: Chain,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(chain.root.rglob("*"))
    detector.configure({"period_s": 0.001})
    engine(take_live(detector, 20, exposure_s=0.002))
    recorder = detector.controller.snapshot.recorder
    assert recorder is not None
    assert recorder.series is not None
    assert (recorder.series.received, recorder.series.file) == (20, None)
    assert sorted(chain.root.rglob("*")) == before
    assert documents.all == []
    last = f"total {chain.reference(19).sum():g}, maximum {chain.reference(19).max():g}"
    told = f"det: frames 20 received, none missing; not recorded (complete); the last one: {last}\n"
    assert capsys.readouterr().out == told
    assert [detector.frames.get(), detector.recorded.get(), detector.period_s.get()] == [1, True, 0.001]


WHOLE = "expected a whole number of at least 1"
TEXT = "got the text 'sim', expected a detector: at a prompt write it without quotes"
NO_FLYER = "which is no detector that flies; expected a StinsDetector"


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (fly_series([]), "detectors: got none, expected at least one"),
        (fly_scan([], PulsingAxis(name="x"), 0, 1, level=True), "exposure_s: got 0 with level, expected how long"),
        (
            fly_scan([], PulsingAxis(name="x"), 0, 1, 11, time_s=1, exposure_s=0.2),
            r"exposure_s: got 0.2, expected less than time_s / \(points - 1\) = 0.1",
        ),
        (fly_scan([], SynAxis(name="x"), 0, 1), "axis: got x, which cannot fly; expected a PulsingAxis"),
        (count_series([], 1), "detectors: got none, expected at least one"),
        (dark_series([SynAxis(name="x")], 0, shutter=SynAxis(name="s")), f"^frames: got 0, {WHOLE}"),
        (flat_series([SynAxis(name="x")], 0, sample=SynAxis(name="s")), f"^frames: got 0, {WHOLE}"),
        (take_live([SynAxis(name="x")], 0), f"^frames: got 0, {WHOLE}"),
        (count_series([SynAxis(name="x")], 0), f"^num: got 0, {WHOLE}"),
        (count_series([SynAxis(name="x")], frames=-3), f"^frames: got -3, {WHOLE}"),
        (count_series([SynAxis(name="x")], delay_s=-1), "^delay_s: got -1, expected seconds"),
        (fly_series([SynAxis(name="x")], 0), f"^frames: got 0, {WHOLE}"),
        (fly_series([SynAxis(name="x")], -1), f"^frames: got -1, {WHOLE}"),
        (fly_series([SynAxis(name="x")], "ten"), f"^frames: got 'ten', {WHOLE}"),
        (fly_series([SynAxis(name="x")], 4, frames_per_event=0), f"^frames_per_event: got 0, {WHOLE}"),
        (fly_series([SynAxis(name="x")], exposure_s="0.1"), "^exposure_s: got '0.1', expected seconds, a number"),
        (fly_series([SynAxis(name="x")], exposure_s=math.nan), "^exposure_s: got nan, expected seconds, a number"),
        (fly_series([SynAxis(name="x")], exposure_s=10**400), "^exposure_s: got 10{400}, expected seconds"),
        (fly_scan([], PulsingAxis(name="x"), -(10**400), 1), "^start: got -10{400}, expected a finite number"),
        (fly_scan([], SynAxis(name="x"), 0, 1, 2.5), f"^points: got 2.5, {WHOLE}"),
        (fly_scan([], SynAxis(name="x"), "0", 1), "^start: got '0', expected a finite number"),
        (fly_scan([], SynAxis(name="x"), 0, 1, time_s=0), "^time_s: got 0, expected more than 0 s"),
        (fly_series("sim", 5), f"^detectors: {TEXT}"),
        (fly_series(["sim"], 5), f"^detectors: {TEXT}"),
        (fly_scan("sim", PulsingAxis(name="x"), 0, 1), f"^detectors: {TEXT}"),
        (count_series("sim"), f"^detectors: {TEXT}"),
        (take_live("sim"), f"^detectors: {TEXT}"),
        (count_series([7]), "^detectors: got 7, expected a detector"),
        (fly_series(SynAxis(name="x"), 5), f"^detectors: got x, {NO_FLYER}"),
        (fly_series(PulsingAxis(name="x"), 5), f"^detectors: got x, {NO_FLYER}"),
        (dark_series(SynAxis(name="x"), shutter=Signal(name="s")), f"^detectors: got x, {NO_FLYER}"),
        (flat_series(SynAxis(name="x"), sample=Signal(name="s")), f"^detectors: got x, {NO_FLYER}"),
        (take_live(SynAxis(name="x")), "^detectors: got x, expected StinsDetectors only"),
        (count_series([SynAxis(name="x")] * 2), "^detectors: got x twice, expected each of them once"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_done(plan: Any, text: str) -> None:
    with pytest.raises(StinsError, match=text):
        next(plan)


def test_what_one_of_our_detectors_is_not_to_do_is_refused_before_a_run(
    engine: RunEngine, detector: StinsDetector, documents: Documents
) -> None:
    for plan, text in (
        (fly_series([detector, detector], 5), "^detectors: got det twice, expected each of them once"),
        (fly_run([detector, detector], 5), "^detectors: got det twice, expected each of them once"),
        (fly_series(detector, deadtime_s=0.1), "^deadtime_s: got 0.1 without an exposure_s"),
        (dark_series(detector, shutter="shutter"), "^shutter: got 'shutter', which cannot be set"),
        (flat_series(detector, sample=detector), "^sample: got det, which cannot be set"),
    ):
        with pytest.raises(StinsError, match=text):
            engine(plan)
    assert documents.all == []


def test_a_motor_as_shutter_says_what_to_give_and_stays_where_it_is(
    engine: RunEngine, detector: StinsDetector, motor: SynAxis, documents: Documents
) -> None:
    motor.set(2.0).wait()
    with pytest.raises(StinsError, match=r"^shutter: motor cannot be set to 'closed' \(.*\); give closed="):
        engine(dark_series(detector, 5, shutter=motor))
    assert motor.position == 2.0
    assert documents.all == []


def test_the_plans_of_the_how_to_do_what_it_says(
    engine: RunEngine, detector: StinsDetector, motor: SynAxis, documents: Documents
) -> None:
    ours: dict[str, Any] = {}
    exec("\n".join(re.findall(r"```python\n(.*?)```", HOW_TO.read_text(), re.DOTALL)), ours)  # noqa: S102
    for plan in (
        ours["scan_with_darks"]([detector], motor, 0, 1, 2),
        ours["fly_when_there"](detector, motor, 5.0, 6),
        ours["fly_at_places"](detector, motor, [1.0, 2.0, 3.0], 4),
        ours["short_count"]([detector], 1),
    ):
        engine(plan)
    assert [stop["exit_status"] for stop in documents.of("stop")] == ["success"] * 5
    assert [stop["num_events"]["primary"] for stop in documents.of("stop")] == [20, 2, 6, 12, 1]
    exposures = [doc["configuration"]["det"]["data"]["det_exposure_s"] for doc in documents.of("descriptor")]
    assert exposures == [0.001] * 4 + [0.002]


@pytest.mark.parametrize("name", PLANS)
def test_what_a_plan_would_do_can_be_looked_at(
    detector: StinsDetector, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    course = [PulsingAxis(name="axis"), 0, 1] if name == "fly_scan" else []
    summarize_plan(getattr(plans, name)([detector], *course, exposure_s=0.01))
    shown = capsys.readouterr().out
    assert ("Open Run" in shown) == (name != "take_live")
    assert "det: frames" not in shown
    assert detector.controller.read_acquirer().settings["exposure_s"] == SETTINGS["exposure_s"]


@pytest.fixture(scope="module")
def allowed() -> tuple[dict[str, Any], dict[str, Any]]:
    """The plans and devices as a queue server finds them in a namespace."""
    namespace: dict[str, Any] = {name: getattr(plans, name) for name in PLANS}
    namespace |= {"axis": SynAxis(name="axis"), "other": SynAxis(name="other")}
    found, devices, *_ = existing_plans_and_devices_from_nspace(nspace=namespace)
    return found, devices


@pytest.mark.parametrize("name", PLANS)
def test_a_queue_server_knows_each_parameter_of_a_plan(allowed: Any, name: str) -> None:
    plan = allowed[0][name]
    assert plan["properties"]["is_generator"]
    assert plan["description"]
    lacking = [p["name"] for p in plan["parameters"] if not (p.get("description") and p.get("annotation"))]
    assert lacking == []


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [([["axis", "other"]], {}), (["axis"], {"exposure_s": 0.1}), ([["axis"], 3], {})],
)
@pytest.mark.parametrize("name", PLANS)
def test_a_queue_server_takes_devices_by_name(allowed: Any, name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    course = ["axis", 0, 1] if name == "fly_scan" else []
    item = {"name": name, "args": [args[0], *course, *args[1:]], "kwargs": kwargs, "item_type": "plan"}
    assert validate_plan(item, allowed_plans=allowed[0], allowed_devices=allowed[1]) == (True, "")
    wrong = item | {"kwargs": {"exposure_s": "long"}}
    assert not validate_plan(wrong, allowed_plans=allowed[0], allowed_devices=allowed[1])[0]
