"""The controller on a healthy chain of real processes."""

import re
import threading

import h5py
import numpy as np
import pytest

from stins import RemoteError, StinsError
from stins.control import SeriesState
from stins_ophyd import CombinedState, Controller, ControllerError, Deadlines, Snapshot
from stins_ophyd.controller.triggering import Begun
from tests.stins_ophyd.chain import Chain


def test_triggers_fill_one_file_frame_by_frame(chain: Chain, controller: Controller, filename: str) -> None:
    opened = controller.arm(filename, trigger_mode="software", frames_per_trigger=2, triggers=None)
    assert controller.snapshot.state is CombinedState.ARMED
    rows = [controller.wait_for(controller.trigger()).rows for _ in range(3)]
    closed = controller.disarm()
    assert rows == [2, 4, 6]
    assert opened.file == str(chain.root / filename)
    assert closed is not None
    assert (closed.state, closed.written, closed.missing) == (SeriesState.COMPLETE, 6, 0)
    with h5py.File(closed.file) as file:
        recorded = file["/entry/data/data"][()]
    assert np.array_equal(recorded, np.stack([chain.reference(frame) for frame in range(6)]))


def test_a_point_is_taken_again_on_request(controller: Controller, filename: str) -> None:
    controller.arm(filename, trigger_mode="software", frames_per_trigger=2, triggers=None)
    controller.wait_for(controller.trigger(first_frame=0))
    controller.wait_for(controller.trigger(first_frame=2))
    again = controller.wait_for(controller.trigger(first_frame=2))
    assert (again.rows, again.retaken, again.received) == (4, 2, 6)
    assert controller.disarm().state is SeriesState.COMPLETE


def test_a_trigger_that_is_begun_takes_its_frames_before_anybody_asks_for_the_answer(
    controller: Controller, filename: str
) -> None:
    controller.arm(filename, trigger_mode="software", triggers=None)
    begun = controller.begin_trigger(0)
    _await_frames(controller, begun)
    assert controller.wait_for(controller.confirm(begun)).rows == 1
    assert controller.wait_for(controller.trigger()).rows == 2


def test_a_trigger_is_not_begun_where_it_would_have_to_wait(controller: Controller, filename: str) -> None:
    assert controller.begin_trigger(0) is None  # nothing is armed: trigger says so
    controller.configure({"exposure_s": 20.0, "period_s": 20.0})
    controller.arm(filename, trigger_mode="software", triggers=None)
    acquiring = threading.Event()
    forget = controller.subscribe(lambda now: acquiring.set() if now.state is CombinedState.ACQUIRING else None)
    controller.trigger()
    assert acquiring.wait(10)
    assert controller.begin_trigger(1) is None
    forget()


def test_a_trigger_that_is_begun_and_refused_says_so_to_whoever_confirms_it(
    controller: Controller, filename: str
) -> None:
    controller.arm(filename, trigger_mode="software", triggers=None)
    refused = controller.begin_trigger(-1)
    assert refused is not None
    with pytest.raises(RemoteError, match="first_frame: got -1, expected 0 to 0"):
        controller.confirm(refused)
    assert controller.wait_for(controller.trigger()).rows == 1


def test_a_trigger_of_a_series_that_was_ended_meanwhile_is_not_counted_in_the_next_one(
    controller: Controller, filename: str
) -> None:
    controller.arm(filename, trigger_mode="software", triggers=None)
    late = controller.begin_trigger(0)
    _await_frames(controller, late)
    controller.arm(f"next-{filename}", trigger_mode="software", triggers=None)
    with pytest.raises(ControllerError, match=r"acquirer: trigger failed at .*: series \S+ was ended meanwhile; take"):
        controller.confirm(late)
    assert controller.wait_for(controller.trigger()).rows == 1


def _await_frames(controller: Controller, begun: Begun | None) -> None:
    """Waits for those of a trigger that nobody has confirmed."""
    assert begun is not None
    there = threading.Event()
    forget = controller.subscribe(lambda now: there.set() if begun.goal.done(now) else None)
    assert there.wait(10)
    forget()


def test_an_internal_series_ends_by_itself(controller: Controller, filename: str) -> None:
    controller.arm(filename, frames_per_trigger=20)
    seen: list[int] = []
    account = controller.wait_for(controller.trigger(), seen.append)
    assert (account.state, account.rows) == (SeriesState.COMPLETE, 20)
    assert seen == sorted(seen)
    assert seen[-1] == 20
    assert controller.snapshot.state is CombinedState.IDLE
    assert controller.disarm() is None


def test_whoever_shows_the_progress_and_stands_still_holds_up_nothing_but_itself(
    controller: Controller, filename: str
) -> None:
    """A terminal that somebody has stopped (Ctrl-S), say."""
    usual, controller.deadlines = controller.deadlines, Deadlines(stall_s=0.3)
    controller.configure({"exposure_s": 0.01, "period_s": 0.01})
    controller.arm(filename, frames_per_trigger=60)
    ended, begun, seen = threading.Event(), [], list[int]()
    forget = controller.subscribe(lambda now: ended.set() if begun and begun[0].done(now) == 60 else None)

    def show(done: int) -> None:
        assert ended.wait(10)
        seen.append(done)

    try:
        begun.append(goal := controller.trigger())
        account = controller.wait_for(goal, show)
    finally:
        forget()
        controller.deadlines = usual
    assert (account.state, account.rows, seen[-1]) == (SeriesState.COMPLETE, 60, 60)


def test_an_aborted_series_leaves_a_closed_file_marked_incomplete(controller: Controller, filename: str) -> None:
    controller.configure({"exposure_s": 0.05, "period_s": 0.05})
    controller.arm(filename, frames_per_trigger=1000)
    goal = controller.trigger()
    some = threading.Event()
    forget = controller.subscribe(lambda now: some.set() if goal.done(now) > 1 else None)
    assert some.wait(10)
    forget()
    account = controller.abort()
    assert account is not None
    assert account.state is SeriesState.INCOMPLETE
    assert "aborted" in account.reason
    with h5py.File(account.file) as file:
        assert len(file["/entry/data/data"]) >= 2
    assert controller.snapshot.state is CombinedState.IDLE


def test_an_abort_ends_a_wait_in_another_thread(controller: Controller, filename: str) -> None:
    controller.configure({"exposure_s": 2.0, "period_s": 2.0})
    controller.arm(filename, frames_per_trigger=1000)
    goal = controller.trigger()
    errors: list[Exception] = []

    def wait() -> None:
        try:
            controller.wait_for(goal)
        except StinsError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    controller.abort("enough")
    thread.join(10)
    assert len(errors) == 1


def test_ending_twice_does_no_harm(controller: Controller, filename: str) -> None:
    controller.arm(filename, trigger_mode="software", triggers=None)
    assert controller.disarm() is not None
    assert controller.disarm() is None
    assert controller.abort() is None


def test_a_trigger_before_arming_is_refused_by_name(controller: Controller) -> None:
    with pytest.raises(ControllerError, match=r"acquirer: trigger failed at http://.*: no series is armed; call arm"):
        controller.trigger()


def test_a_file_that_stands_already_is_refused_and_nothing_stays_armed(
    controller: Controller, filename: str, caplog: pytest.LogCaptureFixture
) -> None:
    controller.arm(filename)
    controller.abort()
    with pytest.raises(StinsError, match=rf"recorder: prepare failed at http://.*{filename}.*stands already"):
        controller.arm(filename)
    assert re.search(r"detector 'sim': series \S+ is abandoned: arming failed", caplog.text)
    assert controller.series is None
    assert controller.arm(f"again-{filename}").state is SeriesState.OPEN


def test_arming_while_a_series_runs_ends_that_series(controller: Controller, filename: str) -> None:
    controller.arm(filename, trigger_mode="software", triggers=None)
    assert controller.arm(f"next-{filename}", trigger_mode="software", triggers=None).state is SeriesState.OPEN


def test_a_series_of_somebody_else_is_not_ended(chain: Chain, controller: Controller, filename: str) -> None:
    controller.arm(filename, trigger_mode="software", triggers=None)
    with (
        chain.controller(Deadlines(command_s=0.5)) as other,
        pytest.raises(
            ControllerError, match=r"it is armed for series .*; expected idle; .*by detector\.controller\.reset\(\)"
        ),
    ):
        other.arm(f"other-{filename}")
    assert controller.snapshot.state is CombinedState.ARMED


def test_a_setting_that_is_refused_is_named_and_changes_nothing(controller: Controller) -> None:
    with pytest.raises(StinsError, match=r"(?s)acquirer: configure failed at http://.*exposure_s: got -1"):
        controller.configure({"exposure_s": -1, "incident_energy": 9000.0})
    assert controller.configure({}).settings["incident_energy"] == 12_400.0


def test_subscribers_see_the_states_in_order(controller: Controller, filename: str) -> None:
    states: list[CombinedState] = []

    def listener(now: Snapshot) -> None:
        if not states or states[-1] is not now.state:
            states.append(now.state)

    forget = controller.subscribe(listener)
    controller.arm(filename, frames_per_trigger=3)
    controller.wait_for(controller.trigger())
    forget()
    assert states[0] is CombinedState.IDLE
    assert states[-1] is CombinedState.IDLE
    assert CombinedState.ARMED in states


def test_a_listener_that_fails_does_not_stop_the_others(controller: Controller, filename: str) -> None:
    def fails(now: Snapshot) -> None:
        if now.state is CombinedState.ARMED:
            raise RuntimeError("a listener's bug")

    forget = controller.subscribe(fails)
    seen: list[CombinedState] = []
    forget_too = controller.subscribe(lambda now: seen.append(now.state))
    controller.arm(filename)
    forget()
    forget_too()
    assert CombinedState.ARMED in seen


def test_a_watcher_that_raises_neither_ends_the_series_nor_stays(
    controller: Controller, filename: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(done: int) -> None:
        raise RuntimeError("no terminal")

    controller.arm(filename, frames_per_trigger=3)
    assert controller.wait_for(controller.trigger(), broken).state is SeriesState.COMPLETE
    told = caplog.text.count("RuntimeError: no terminal")
    assert told
    controller.configure({"exposure_s": 0.002})
    controller.arm(f"next-{filename}", frames_per_trigger=3)
    controller.wait_for(controller.trigger())
    assert caplog.text.count("RuntimeError: no terminal") == told
