"""A chain that fails under the device: the run fails with the real reason, the file is closed, the next run works."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import bluesky.plans as bp
import h5py
import msgspec
import pytest
from bluesky import RunEngine
from bluesky.utils import FailedStatus

from stins import StinsError
from stins.control import AcquirerState, AcquirerStatus, SeriesState, SeriesStatus
from stins_ophyd import CombinedState, Controller, StinsDetector, fly_series
from stins_ophyd.controller import Snapshot
from stins_ophyd.plans import count_series, take_live
from tests.stins_ophyd.chain import QUICK, Chain, Documents


@pytest.fixture(autouse=True)
def leak_check() -> None:
    """Off in this module: its chain is revived within tests and lives on; whoever made the chain ends all of it."""


@pytest.fixture
def detector(revived: Controller) -> StinsDetector:
    """A detector of the chain whose processes may die."""
    return StinsDetector(name="det", controller=revived)


def faults(detector: StinsDetector, **fault: Any) -> None:
    """Makes the simulated detector fail in its next series."""
    detector.configure({"faults": [fault]})


def fails(engine: RunEngine, plan: Any) -> str:
    """Why the run failed."""
    with pytest.raises(FailedStatus) as raised:
        engine(plan)
    return str(raised.value)


def account(detector: StinsDetector) -> SeriesStatus:
    """The recorder's account of the last series."""
    recorder = detector.controller.snapshot.recorder
    assert recorder is not None
    assert recorder.series is not None
    return recorder.series


def works(engine: RunEngine, detector: StinsDetector, documents: Documents) -> None:
    """The next run works, with the same device."""
    engine(bp.count([detector], 2))
    assert documents.stop["exit_status"] == "success"
    assert account(detector).state is SeriesState.COMPLETE


def test_a_frame_lost_within_a_point_fails_the_point_by_name(
    engine: RunEngine, detector: StinsDetector, documents: Documents
) -> None:
    detector.configure({"frames": 3})
    faults(detector, kind="drop", frame=4)
    why = fails(engine, bp.count([detector], 3))
    assert "1 frame is missing: 4" in why
    assert documents.stop["exit_status"] == "fail"
    assert documents.stop["reason"] == why
    assert documents.indices == [(0, 1)]
    assert account(detector).state is SeriesState.INCOMPLETE
    assert detector.controller.snapshot.state is CombinedState.IDLE
    detector.configure({"faults": []})
    works(engine, detector, documents)


def test_a_points_last_frame_that_never_comes_ends_at_the_stall_deadline(
    engine: RunEngine, detector: StinsDetector, documents: Documents
) -> None:
    faults(detector, kind="drop", frame=1)
    why = fails(engine, bp.count([detector], 3))
    assert "recorder: record the frames failed" in why
    assert "0 of 1 frames are recorded; 1 of those sent did not arrive; nothing moved for" in why
    assert documents.indices == [(0, 1)]


def test_a_frame_lost_in_flight_fails_the_series_and_keeps_the_frames_before_it(
    engine: RunEngine, detector: StinsDetector, documents: Documents
) -> None:
    detector.configure({"exposure_s": 0.01, "period_s": 0.01})
    faults(detector, kind="drop", frame=20)
    why = fails(engine, fly_series(detector, 200, flush_period_s=0.05))
    assert "missing: 20" in why
    assert documents.indices[-1][1] == 20
    series = account(detector)
    assert series.state is SeriesState.INCOMPLETE
    with h5py.File(series.file) as file:
        assert len(file["/entry/data/data"]) >= 20


@pytest.mark.parametrize("kind", ["duplicate", "reorder", "delay"])
def test_disorder_that_the_recorder_mends_is_no_failure(
    engine: RunEngine, detector: StinsDetector, documents: Documents, kind: str
) -> None:
    faults(detector, kind=kind, frame=5, seconds=0.1)
    detector.configure({"exposure_s": 0.01, "period_s": 0.01})
    engine(fly_series(detector, 30))
    assert documents.indices[-1][1] == 30
    assert account(detector).state is SeriesState.COMPLETE


def test_a_detector_that_dies_in_flight_fails_the_run_with_the_frames_that_are_there(
    fragile: Chain, engine: RunEngine, detector: StinsDetector, documents: Documents
) -> None:
    detector.configure({"exposure_s": 0.01, "period_s": 0.01})
    faults(detector, kind="die", frame=40)
    why = fails(engine, fly_series(detector, 500, flush_period_s=0.05))
    assert why.startswith("det complete failed: acquirer: record the frames failed at http://")
    series = account(detector)
    assert series.state is SeriesState.INCOMPLETE
    assert 0 < documents.indices[-1][1] <= series.written
    with h5py.File(series.file) as file:
        assert len(file["/entry/data/data"]) == series.written
    fragile.revive()
    works(engine, detector, documents)


def test_a_detector_that_freezes_fails_the_point_by_name(
    fragile: Chain, engine: RunEngine, detector: StinsDetector, documents: Documents
) -> None:
    faults(detector, kind="freeze", frame=1)
    why = fails(engine, bp.count([detector], 3))
    assert why.startswith("det trigger failed: acquirer:")
    assert f"failed at {fragile.acquirer.ready.control}" in why
    fragile.acquirer.send_signal(signal.SIGCONT)
    detector.controller.make_ready()
    detector.configure({"faults": []})
    works(engine, detector, documents)


@pytest.mark.parametrize("comes_back", [False, True], ids=["gone", "back"])
def test_a_detector_that_dies_between_points_is_named_as_the_first_cause_and_its_file_is_closed_at_once(
    fragile: Chain, engine: RunEngine, detector: StinsDetector, documents: Documents, comes_back: bool
) -> None:
    gone, back = threading.Event(), threading.Event()
    died: list[float] = []

    def look(now: Snapshot) -> None:
        if now.acquirer is None:
            gone.set()
        elif gone.is_set():
            back.set()

    def kill(_: str, doc: dict[str, Any]) -> None:
        if doc["seq_num"] == 2:
            fragile.acquirer.send_signal(signal.SIGKILL)
            assert gone.wait(10)
            if comes_back:
                fragile.acquirer.wait(5)
                fragile.revive()
                assert back.wait(20)
            died.append(time.monotonic())

    forget = detector.controller.subscribe(look)
    token = engine.subscribe(kill, "event")
    why = fails(engine, count_series(detector, 3, exposure_s=0.002))
    took_s = time.monotonic() - died[0]
    engine.unsubscribe(token)
    forget()
    assert why.startswith("det trigger failed: acquirer: trigger failed at http://")
    assert ("restarted in the middle of series" in why) == comes_back
    assert documents.stop["reason"] == why
    assert documents.indices == [(0, 1), (1, 2)]
    assert (account(detector).state, account(detector).rows) == (SeriesState.INCOMPLETE, 2)
    said = "restarted in the middle of" if comes_back else "Connection refused"
    assert re.search(f"stopped on request: the acquirer could not end it: .*{said}", account(detector).reason)
    assert took_s < detector.controller.deadlines.close_s / 2
    fragile.revive()
    works(engine, detector, documents)


@pytest.mark.parametrize("comes_back", [False, True], ids=["gone", "back"])
def test_a_detector_that_is_not_there_when_its_series_is_to_end_is_named_by_unstage(
    fragile: Chain, detector: StinsDetector, comes_back: bool
) -> None:
    detector.stage()
    detector.trigger().wait(20)
    fragile.acquirer.send_signal(signal.SIGKILL)
    fragile.acquirer.wait(5)
    if comes_back:
        fragile.revive()
    else:
        fragile.recorder.send_signal(signal.SIGSTOP)  # it cannot be told either; `revived` lets it go on
    why = "restarted in the middle of" if comes_back else "Connection refused"
    with pytest.raises(StinsError, match=f"^det: unstage: acquirer: disarm failed at http://.*: .*{why}"):
        detector.unstage()


def kills_writer(detector: StinsDetector, when: Callable[[str, dict[str, Any]], bool]) -> Callable[[str, Any], None]:
    """Kills the writer at the first document of which it is true."""
    killed: list[int] = []

    def kill(name: str, doc: dict[str, Any]) -> None:
        if not killed and when(name, doc):
            killed.append(detector.controller.snapshot.recorder.writer_pid)
            os.kill(killed[0], signal.SIGKILL)

    return kill


def test_a_recorder_that_loses_its_writer_in_flight_loses_no_frame_and_the_run_goes_on(
    engine: RunEngine, detector: StinsDetector, documents: Documents
) -> None:
    detector.configure({"exposure_s": 0.01, "period_s": 0.01})
    token = engine.subscribe(kills_writer(detector, lambda name, _: name == "stream_datum"))
    engine(fly_series(detector, 500, flush_period_s=0.05))
    engine.unsubscribe(token)
    assert documents.indices[-1][1] == 500
    series = account(detector)
    assert (series.state, series.written) == (SeriesState.COMPLETE, 500)
    assert any("died: signal SIGKILL" in note for note in detector.controller.snapshot.recorder.notes)
    with h5py.File(series.file) as file:
        assert list(file["/entry/instrument/detector/sequence_number"]) == list(range(500))


def test_a_writer_that_dies_between_points_or_after_the_last_one_is_nobodys_concern(
    engine: RunEngine, detector: StinsDetector, documents: Documents
) -> None:
    for point in (1, 2):
        dies = kills_writer(detector, lambda name, doc, n=point: name == "event" and doc["seq_num"] == n)
        token = engine.subscribe(dies)
        engine(bp.count([detector], 2))
        engine.unsubscribe(token)
        series = account(detector)
        assert (series.state, series.written) == (SeriesState.COMPLETE, 2)
    works(engine, detector, documents)


@pytest.fixture
def patient(fragile: Chain, revived: Controller) -> Iterator[Controller]:
    """A controller that gives a recorder the time that starting one takes."""
    with fragile.controller(msgspec.structs.replace(QUICK, stall_s=60, away_s=60)) as controller:
        yield controller


def flies_on_when_revived(
    chain: Chain,
    engine: RunEngine,
    detector: StinsDetector,
    blow: signal.Signals,
    over: Callable[[AcquirerStatus], bool],
) -> None:
    """Flies 200 frames. With the first the recorder gets a blow; once it is `over` it is ended and revived."""
    struck, done = threading.Event(), threading.Event()

    def strike(name: str, _: object) -> None:
        if name == "stream_datum" and not struck.is_set():
            chain.recorder.send_signal(blow)
            struck.set()

    def look(snapshot: Snapshot) -> None:
        acquirer = snapshot.acquirer
        if struck.is_set() and acquirer and acquirer.state is AcquirerState.IDLE and over(acquirer):
            done.set()

    def revive() -> None:
        if done.wait(30):
            chain.recorder.send_signal(signal.SIGKILL)
            chain.recorder.wait(5)
            chain.revive()

    reviving = threading.Thread(target=revive, name="revive")
    reviving.start()
    token, forget = engine.subscribe(strike), detector.controller.subscribe(look)
    engine(fly_series(detector, 200, flush_period_s=0.05))
    engine.unsubscribe(token)
    forget()
    reviving.join()
    assert done.is_set()


@pytest.mark.parametrize("everything_acked", [False, True], ids=["not all acked", "all acked"])
def test_a_recorder_that_comes_back_when_the_detector_is_long_done_loses_no_frame_and_the_run_goes_on(
    fragile: Chain, engine: RunEngine, patient: Controller, documents: Documents, everything_acked: bool
) -> None:
    detector = StinsDetector(name="det", controller=patient)
    detector.configure({"exposure_s": 0.005, "period_s": 0.005})
    if everything_acked:
        # The supervisor tells no more how far it is, and its writer goes on: only the journal has the account.
        flies_on_when_revived(fragile, engine, detector, signal.SIGSTOP, lambda acquirer: not acquirer.unacked)
    else:
        flies_on_when_revived(fragile, engine, detector, signal.SIGKILL, lambda _: True)
    assert documents.stop["exit_status"] == "success"
    series = account(detector)
    assert (series.state, series.written) == (SeriesState.COMPLETE, 200)


def test_live_frames_whose_first_acquirer_dies_leave_the_settings_of_each_detector(
    fragile: Chain, engine: RunEngine, detector: StinsDetector, controller: Controller, documents: Documents
) -> None:
    both = [detector, StinsDetector(name="second", controller=controller)]
    for one in both:
        one.configure({"exposure_s": 0.001, "period_s": 0.02})
    forget = detector.controller.subscribe(
        lambda now: fragile.acquirer.send_signal(signal.SIGKILL) if now.state is CombinedState.ACQUIRING else None
    )
    with pytest.raises((FailedStatus, StinsError)):
        engine(take_live(both, 50, exposure_s=0.002))
    forget()
    assert [[one.recorded.get(), one.frames.get()] for one in both] == [[True, 1]] * 2
    assert [both[1].exposure_s.get(), both[1].period_s.get()] == [0.001, 0.02]
    fragile.revive()
    engine(bp.count(both, 1))
    assert {doc["data_key"] for doc in documents.images} == {"det_image", "second_image"}
