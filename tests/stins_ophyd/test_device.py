"""The device outside a RunEngine: its protocols, its descriptions, its settings, staging and its end."""

import math
import re
import threading
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import h5py
import numpy as np
import pytest
from bluesky import RunEngine, protocols
from ophyd import DeviceStatus
from ophyd.device import RedundantStaging, Staged
from ophyd.utils import InvalidState

from stins import StinsError
from stins.control import SeriesState
from stins_ophyd import (
    CombinedState,
    Controller,
    Deadlines,
    DetectorTrigger,
    PathInfo,
    StinsDetector,
    TriggerInfo,
)
from stins_ophyd.controller.triggering import Begun
from stins_ophyd.staging import Staging
from stins_ophyd.status import ProgressStatus, Worker
from tests.stins_ophyd.chain import SHAPE, Chain
from tests.stins_ophyd.no_threads import no_threads

PROTOCOLS = [
    "Readable", "Triggerable", "Stageable", "Preparable", "Flyable", "Collectable", "WritesStreamAssets",
    "Stoppable", "Pausable", "HasHints", "Configurable",
]  # fmt: skip


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_detector_is_everything_that_a_detector_is_asked_for(detector: StinsDetector, name: str) -> None:
    assert isinstance(detector, getattr(protocols, name))


def test_a_detector_that_writes_stream_assets_has_no_second_kind(detector: StinsDetector) -> None:
    """The RunEngine never calls collect() of such a class: having it would only mislead."""
    assert not isinstance(detector, protocols.EventCollectable)


def test_the_image_is_described_before_anything_is_armed(detector: StinsDetector) -> None:
    assert detector.describe()["det_image"] == {
        "source": "stins:sim",
        "dtype": "array",
        "dtype_numpy": "<u2",
        "shape": list(SHAPE),
        "external": "STREAM:",
    }


def test_several_frames_of_a_point_have_an_axis_of_their_own(detector: StinsDetector) -> None:
    detector.frames.put(5)
    assert detector.describe()["det_image"]["shape"] == [5, *SHAPE]


def test_the_image_is_never_hinted(detector: StinsDetector) -> None:
    assert detector.hints == {"fields": ["det_total", "det_maximum"]}


def test_settings_are_read_with_their_units(detector: StinsDetector) -> None:
    detector.configure({"exposure_s": 0.002})
    read, described = detector.read_configuration(), detector.describe_configuration()
    assert read.keys() == described.keys()
    assert read["det_exposure_s"]["value"] == 0.002
    assert {name: described[f"det_{name}"].get("units") for name in ("exposure_s", "incident_energy", "distance")} == {
        "exposure_s": "s",
        "incident_energy": "eV",
        "distance": "m",
    }


def test_a_setting_is_in_the_acquirer_once_its_status_is_done(controller: Controller, detector: StinsDetector) -> None:
    detector.incident_energy.set(9000.0).wait(10)
    assert controller.configure({}).settings["incident_energy"] == 9000.0
    assert detector.incident_energy.get() == 9000.0


def test_a_setting_that_is_refused_fails_its_status_by_name(detector: StinsDetector) -> None:
    status = detector.exposure_s.set(-1.0)
    with pytest.raises(StinsError, match=r"(?s)^det: set exposure_s = -1.0: acquirer: .* exposure_s: got -1"):
        status.wait(10)
    assert re.match(
        r"det set exposure_s = -1.0 failed: acquirer: configure failed at .*exposure_s: got -1", str(status), re.S
    )


def test_what_is_no_number_is_not_set(detector: StinsDetector) -> None:
    before = detector.controller.read_acquirer().settings["exposure_s"]
    with pytest.raises(StinsError, match="det: set exposure_s: got nan, expected a finite number"):
        detector.exposure_s.set(float("nan")).wait(10)
    with pytest.raises(StinsError, match="det: set period_s: got inf, expected a finite number"):
        detector.configure({"exposure_s": 0.5, "period_s": math.inf})
    for faults, where in (
        ([{"kind": "late"}, {"kind": "late", "seconds": math.nan}], "faults.1.seconds: got nan"),
        ({"deep": (1.0, [np.float32(-math.inf)])}, "faults.deep.1.0: got -inf"),
        (np.array([[0.0, 1.0], [math.nan, 2.0]]), "faults.1.0: got nan"),
    ):
        with pytest.raises(StinsError, match=f"^det: set {where}, expected a finite number$"):
            detector.configure({"exposure_s": 0.5, "faults": faults})
    assert detector.controller.read_acquirer().settings["exposure_s"] == before


def test_a_trigger_mode_that_there_is_not_is_refused_by_name(detector: StinsDetector) -> None:
    with pytest.raises(StinsError, match="det_trigger_mode: got 'x', expected one of internal, edge, level, external"):
        detector.trigger_mode.set("x").wait(10)
    assert detector.trigger_mode.get() == "software"


def test_a_plans_setting_that_is_refused_names_the_detector(engine: RunEngine, detector: StinsDetector) -> None:
    with pytest.raises(StinsError, match=r"(?s)^det: set exposure_s = -1.*: acquirer: .* exposure_s: got -1"):
        engine(bps.configure(detector, {"exposure_s": -1}))


def test_settings_of_an_acquirer_that_is_away_name_the_detector() -> None:
    away = StinsDetector(name="saxs", acquirer_url="http://127.0.0.1:9", recorder_url="http://127.0.0.1:9")
    for ask, step in (
        (lambda: away.exposure_s.put(0.1), "set exposure_s = 0.1"),
        (lambda: away.configure({"exposure_s": 0.1}), "read what is set"),
    ):
        with pytest.raises(StinsError, match=rf"^saxs: {step}: acquirer: \w+ failed at http://127.0.0.1:9"):
            ask()
    away.destroy()


def test_a_setting_that_the_acquirer_lacks_is_left_out(detector: StinsDetector) -> None:
    assert detector.exposure_s.kind.name == "config"
    acquirer = detector.controller.snapshot.acquirer
    assert acquirer is not None
    detector.configure({})
    detector.period_s.heard(type(acquirer)(**{**_fields(acquirer), "settings": {}}))
    assert "det_period_s" not in super(StinsDetector, detector).read_configuration()


def test_stage_settings_are_set_and_put_back(detector: StinsDetector) -> None:
    detector.configure({})
    detector.stage_sigs["exposure_s"] = 0.004
    detector.stage()
    assert detector.exposure_s.get() == 0.004
    detector.unstage()
    assert detector.exposure_s.get() == 0.001


def test_staging_twice_is_refused_and_unstaging_twice_is_not(detector: StinsDetector) -> None:
    detector.stage()
    with pytest.raises(RedundantStaging):
        detector.stage()
    assert detector.unstage() == [detector]
    assert detector.unstage() == [detector]


def test_a_staging_that_fails_leaves_nothing_staged(chain: Chain, controller: Controller) -> None:
    detector = StinsDetector(
        name="det", controller=controller, path_provider=lambda _=None: PathInfo(Path("/elsewhere"), "x")
    )
    with pytest.raises(
        StinsError, match=rf"got folder /elsewhere, expected one below the recorder's roots: {chain.root}"
    ):
        detector.stage()
    assert detector._staged is Staged.no
    detector.unstage()


def test_staging_without_processes_names_them() -> None:
    nowhere = Controller("http://127.0.0.1:9", "http://127.0.0.1:9", deadlines=Deadlines(connect_s=0.5))
    detector = StinsDetector(name="det", controller=nowhere)
    with pytest.raises(StinsError, match=r"^det: stage: acquirer: connect failed at http://127.0.0.1:9"):
        detector.stage()
    detector.destroy()


def test_nothing_is_armed_and_no_file_made_by_staging_alone(chain: Chain, detector: StinsDetector) -> None:
    before = set(chain.root.iterdir()) if chain.root.exists() else set()
    detector.stage()
    detector.unstage()
    assert set(chain.root.iterdir()) == before


@pytest.mark.parametrize("call", ["trigger", "kickoff", "complete"])
def test_what_needs_staging_says_so(detector: StinsDetector, call: str) -> None:
    with pytest.raises(StinsError, match=rf"det: {call}: not staged; stage it first"):
        getattr(detector, call)()


def test_a_trigger_is_done_when_its_frames_are_in_the_file(chain: Chain, detector: StinsDetector) -> None:
    detector.frames.put(3)
    detector.stage()
    status = detector.trigger()
    status.wait(20)
    account = detector.controller.snapshot.recorder.series
    assert detector.get_index() == 1
    with h5py.File(account.file, swmr=True) as file:
        assert np.array_equal(file["/entry/data/data"][2], chain.reference(2))
    assert not math.isnan(detector.total.get())
    detector.unstage()
    assert detector.controller.snapshot.recorder.series.state is SeriesState.COMPLETE


def test_documents_come_only_with_something_new(detector: StinsDetector) -> None:
    detector.stage()
    assert list(detector.collect_asset_docs(0)) == []
    detector.trigger().wait(20)
    told = [name for name, _ in detector.collect_asset_docs(1)]
    keys = len(detector.describe_collect())
    assert told == ["stream_resource"] * keys + ["stream_datum"] * keys
    assert list(detector.collect_asset_docs(1)) == []
    detector.unstage()


def test_a_point_that_was_not_read_is_taken_again(detector: StinsDetector) -> None:
    detector.stage()
    for _ in range(3):
        detector.trigger().wait(20)
    assert detector.get_index() == 1
    detector.unstage()
    series = detector.controller.snapshot.recorder.series
    assert (series.rows, series.retaken) == (1, 2)


def test_a_further_point_is_on_its_way_before_its_thread_has_started(controller: Controller, filename: str) -> None:
    staging = Staging(controller, lambda: filename)
    assert staging.begin(0, 1) is None
    staging.take(0, 1, _ignored)
    assert staging.begin(1, 2) is None  # armed for another number of frames: take says so
    begun = staging.begin(1, 1)
    assert begun is not None
    staging.take(1, 1, _ignored, begun)
    staging.end(aborted=False)
    assert staging.account is not None
    assert (staging.account.state, staging.account.rows) == (SeriesState.COMPLETE, 2)


class _Noting(Controller):
    """One that knows from which thread, and with what success, triggers were begun."""

    begun: list[tuple[str, bool]]

    def begin_trigger(self, first_frame: int) -> Begun | None:
        begun = super().begin_trigger(first_frame)
        self.begun.append((threading.current_thread().name, begun is not None))
        return begun


def test_the_plans_own_thread_triggers_all_points_but_the_first(chain: Chain, controller: Controller) -> None:
    noting = _Noting(chain.acquirer.ready.control, chain.recorder.ready.control, deadlines=controller.deadlines)
    noting.begun = []
    detector = StinsDetector(name="det", controller=noting)
    detector.stage()
    for point in range(3):
        detector.trigger().wait(10)
        list(detector.collect_asset_docs(point + 1))
    detector.unstage()
    detector.destroy()
    assert noting.begun == [(threading.current_thread().name, True)] * 2


def test_a_point_that_was_begun_says_who_ended_its_series(controller: Controller, filename: str) -> None:
    staging = Staging(controller, lambda: filename)
    staging.take(0, 1, _ignored)
    begun = staging.begin(1, 1)
    assert begun is not None
    staging.end(aborted=True, why="enough")
    with pytest.raises(StinsError, match=r"the series was ended \(enough\)"):
        staging.take(1, 1, _ignored, begun)


def _with_a_point(detector: StinsDetector) -> None:
    detector.stage()
    detector.trigger().wait(20)
    list(detector.collect_asset_docs())
    detector._worker.join()


def _ended(detector: StinsDetector, why: str) -> bool:
    """Whether its series was ended because of that, and nothing is left armed."""
    account = detector.controller.snapshot.series(detector._staging.account.series_id)
    assert (account.state, detector.controller.snapshot.state) == (SeriesState.INCOMPLETE, CombinedState.IDLE)
    detector._worker.join()
    return why in detector._staging.why


def test_a_point_that_was_begun_and_gets_no_thread_ends_its_series(detector: StinsDetector) -> None:
    _with_a_point(detector)
    with no_threads(), pytest.raises(RuntimeError, match="can't start new thread"):
        detector.trigger()
    assert _ended(detector, "can't start new thread")
    detector.unstage()


def test_a_point_that_was_begun_behind_something_that_hangs_ends_its_series(detector: StinsDetector) -> None:
    _with_a_point(detector)
    detector._worker, goes_on = Worker("det-worker", 0.05), threading.Event()

    def hangs() -> None:
        goes_on.wait(20)
        raise StinsError("given up")

    lost = detector._worker.run(ProgressStatus(detector, target=1), hangs)
    detector._worker.abandon()
    lost.set_exception(StinsError("lost"))
    try:
        status = detector.trigger()
        with pytest.raises(StinsError, match=r"det action failed: lost: not over within 0\.05 s"):
            status.wait(20)
    finally:
        goes_on.set()
    assert _ended(detector, "not over within 0.05 s")
    detector.unstage()


class _WithoutStatus(Worker):
    """One for which no Status can be made, because of `error`."""

    def __init__(self, name: str, error: BaseException) -> None:
        super().__init__(name)
        self._error = error

    def run_at_once(self, _: object, *work: Any) -> DeviceStatus:
        def make() -> DeviceStatus:
            raise self._error

        return super().run_at_once(make, *work)


@pytest.mark.parametrize(("error", "why"), [(KeyError("status"), "'status'"), (KeyboardInterrupt(), "Interrupt")])
def test_a_point_that_was_begun_and_gets_no_status_ends_its_series(
    detector: StinsDetector, error: BaseException, why: str
) -> None:
    _with_a_point(detector)
    detector._worker = _WithoutStatus("det-worker", error)
    with pytest.raises(type(error)):
        detector.trigger()
    assert _ended(detector, why)
    detector.unstage()


def _ignored(_: int) -> None:
    """Nobody looks at this progress."""


def test_a_status_is_finished_once_and_no_more(detector: StinsDetector) -> None:
    detector.stage()
    status = detector.trigger()
    status.wait(20)
    with pytest.raises(InvalidState):
        status.set_finished()
    detector.unstage()


def test_progress_counts_the_frames(detector: StinsDetector) -> None:
    detector.configure({"frames": 4, "exposure_s": 0.02, "period_s": 0.02})
    detector.stage()
    status = detector.trigger()
    seen: list[dict[str, object]] = []
    status.watch(lambda **progress: seen.append(progress))
    status.wait(20)
    detector.unstage()
    assert seen[-1].keys() >= {"name", "current", "initial", "target", "unit", "precision", "fraction"}
    assert (seen[-1]["name"], seen[-1]["current"], seen[-1]["target"], seen[-1]["fraction"]) == ("det", 4, 4, 0.0)


def test_stopping_ends_a_point_under_way_and_says_why(detector: StinsDetector) -> None:
    detector.configure({"exposure_s": 5.0, "period_s": 5.0})
    detector.stage()
    status = detector.trigger()
    armed = threading.Event()
    forget = detector.controller.subscribe(lambda now: armed.set() if now.state is CombinedState.ACQUIRING else None)
    assert armed.wait(10)
    detector.stop()
    forget()
    with pytest.raises(StinsError, match="stopped"):
        status.wait(10)
    assert "stopped" in str(status)
    detector.stop()
    detector.unstage()
    series = detector.controller.snapshot.recorder.series
    assert series.state is SeriesState.INCOMPLETE


def test_a_number_of_frames_may_be_one_of_numpy(detector: StinsDetector) -> None:
    detector.frames.put(np.int64(3))
    assert (detector.frames.get(), type(detector.frames.get())) == (3, int)


@pytest.mark.parametrize("frames", [0, -1, 2.5, "many", True, np.int64(0)])
def test_a_number_of_frames_that_makes_no_sense_is_refused(detector: StinsDetector, frames: object) -> None:
    with pytest.raises(StinsError, match=r"det_frames: got .*, expected a whole number"):
        detector.frames.put(frames)
    with pytest.raises(StinsError, match=r"det_frames: got .*, expected a whole number"):
        detector.configure({"frames": frames})
    assert detector.frames.get() == 1


def test_frames_cannot_change_within_a_staging(detector: StinsDetector) -> None:
    detector.stage()
    detector.trigger().wait(20)
    detector.frames.put(2)
    with pytest.raises(StinsError, match="got 2 frames, expected 1 as armed; unstage first"):
        detector.trigger().wait(20)
    detector.unstage()


def test_software_trigger_info_leaves_step_mode_and_sets_the_times_which_stay(detector: StinsDetector) -> None:
    detector.stage()
    detector.prepare(TriggerInfo(trigger=DetectorTrigger.SOFTWARE, livetime=0.003)).wait(20)
    assert detector.exposure_s.get() == 0.003
    detector.trigger().wait(20)
    detector.unstage()
    assert detector.controller.read_acquirer().settings["exposure_s"] == 0.003


@pytest.mark.parametrize("trigger", [DetectorTrigger.INTERNAL, DetectorTrigger.SOFTWARE])
def test_points_may_be_prepared_as_a_series_of_one_event(detector: StinsDetector, trigger: DetectorTrigger) -> None:
    """As with ophyd-async: once for all of them, or each time."""
    info = TriggerInfo(trigger=trigger, livetime=0.002, collections_per_event=2)
    detector.stage()
    for _ in range(2):
        detector.prepare(info)
        detector.trigger().wait(20)
        assert detector.hints == {"fields": ["det_total", "det_maximum"]}
        assert detector.read()
        assert list(detector.collect_asset_docs())
    assert (detector.trigger_mode.get(), detector.exposure_s.get()) == ("software", 0.002)
    detector.unstage()
    series = detector.controller.snapshot.recorder.series
    assert (series.state, series.rows) == (SeriesState.COMPLETE, 4)


def test_a_series_of_one_event_may_be_kicked_off(detector: StinsDetector) -> None:
    detector.frames.put(5)  # of points, not of this
    detector.stage()
    detector.prepare(1).wait(20)
    assert detector.describe_collect()["det_image"]["shape"] == list(SHAPE)
    assert detector.hints == {"fields": []}
    assert detector.controller.snapshot.state is CombinedState.ARMED
    detector.kickoff()
    detector.complete().wait(20)
    assert detector.get_index() == 1
    detector.unstage()
    assert detector.controller.snapshot.recorder.series.rows == 1


def test_a_staging_has_one_series(detector: StinsDetector) -> None:
    detector.stage()
    detector.prepare(3).wait(20)
    detector.prepare(3).wait(20)  # as the RunEngine does after a pause
    with pytest.raises(StinsError, match=r"prepare: the detector is prepared to fly, expected staged"):
        detector.prepare(4)
    with pytest.raises(StinsError, match=r"complete: the detector is prepared to fly, expected flying"):
        detector.complete()
    detector.kickoff().wait(20)
    detector.complete().wait(20)
    with pytest.raises(StinsError, match=r"kickoff: the detector is flown"):
        detector.kickoff()
    detector.unstage()


@pytest.mark.parametrize(
    ("trigger", "left"),
    [(DetectorTrigger.INTERNAL, CombinedState.ARMED), (DetectorTrigger.EXTERNAL_EDGE, CombinedState.IDLE)],
)
def test_a_pause_before_the_kickoff_ends_what_pulses_could_begin(
    detector: StinsDetector, trigger: DetectorTrigger, left: CombinedState
) -> None:
    detector.stage()
    detector.prepare(TriggerInfo(3, trigger)).wait(20)
    detector.pause()
    assert detector.controller.snapshot.state is left
    detector.resume()
    if left is CombinedState.IDLE:
        with pytest.raises(StinsError, match="kickoff: paused in the middle of a fly series"):
            detector.kickoff()
    detector.unstage()


def test_unstaging_a_prepared_series_aborts_it(detector: StinsDetector) -> None:
    detector.stage()
    detector.prepare(3).wait(20)
    detector.unstage()
    series = detector.controller.snapshot.recorder.series
    assert series.state is SeriesState.INCOMPLETE
    assert detector.controller.snapshot.state is CombinedState.IDLE


@pytest.mark.parametrize("value", [0, "ten", None, True])
def test_preparing_for_nothing_is_refused(detector: StinsDetector, value: object) -> None:
    detector.stage()
    with pytest.raises(StinsError, match=r"prepare: got|number_of_events: got 0"):
        detector.prepare(value)
    detector.unstage()


def test_what_the_detector_cannot_do_is_refused_before_anything_is_set_or_armed(detector: StinsDetector) -> None:
    detector.stage()
    with pytest.raises(StinsError) as error:
        detector.prepare(TriggerInfo(3, livetime=0.5, exposures_per_collection=4))
    assert str(error.value) == (
        "det: prepare: got exposures_per_collection 4 with trigger INTERNAL, expected 1: that is what the simulated "
        "detector can"
    )
    assert detector.controller.series is None
    assert detector.controller.read_acquirer().settings["exposure_s"] == 0.001
    detector.unstage()


def _fields(status: object) -> dict[str, object]:
    return {name: getattr(status, name) for name in status.__struct_fields__ if name != "kind"}
