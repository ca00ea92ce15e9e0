"""What counts as done, and what can never be done any more."""

from typing import Any

import msgspec
import pytest

from stins.control import AcquirerState, AcquirerStatus, RecorderState, RecorderStatus, SeriesState, SeriesStatus
from stins_ophyd.controller import Deadlines, Goal, Snapshot
from stins_ophyd.controller.goal import SeriesProblem
from stins_ophyd.controller.remedies import REMEDIES, Cause, Debt
from stins_ophyd.controller.snapshot import Heard, combine

#: The frames 3, 4 and 5, after three that are there already.
GOAL = Goal(series_id="s", first=3, frames=3, sent=6, received=6)
WHOLE = Goal.whole("s", 6)
DONE = {"received": 6, "written": 6, "rows": 6, "file": "/data/f.nxs"}


def snapshot(
    acquirer: AcquirerState = AcquirerState.ARMED,
    series_state: SeriesState = SeriesState.OPEN,
    *,
    dropped: int = 0,
    not_given: int = 0,
    drop_reason: str = "",
    notes: tuple[str, ...] = (),
    **account: object,
) -> Snapshot:
    """The chain with this account of series s."""
    recorder = RecorderState.RECORDING if series_state is SeriesState.OPEN else RecorderState.IDLE
    series = msgspec.structs.replace(SeriesStatus(series_id="s", state=series_state), **account)
    drops = {"frames_dropped": dropped, "frames_not_given": not_given, "drop_reason": drop_reason}
    sender = AcquirerStatus(name="sim", backend="b", state=acquirer, boot_id="a", pid=1, frames_sent=6, **drops)
    writer = RecorderStatus(name="w", state=recorder, boot_id="r", pid=2, series=series, notes=notes)
    return combine(Heard(sender, writer))


def test_frames_that_are_flushed_are_done() -> None:
    assert GOAL.reached(snapshot(**DONE))


@pytest.mark.parametrize(
    "behind",
    [
        {**DONE, "received": 5},
        {**DONE, "written": 5},
        {**DONE, "rows": 5},
        {**DONE, "acquirer": AcquirerState.ACQUIRING},
    ],
)
def test_a_frame_that_was_not_received_sent_or_flushed_keeps_it_waiting(behind: dict[str, object]) -> None:
    assert not GOAL.reached(snapshot(**behind))  # type: ignore[arg-type]  # a table of keywords


def test_frames_taken_again_count_when_they_are_flushed_again() -> None:
    again = msgspec.structs.replace(GOAL, first=0, received=9)
    assert not again.reached(snapshot(**{**DONE, "received": 7, "retaken": 6, "written": 1, "rows": 1}))
    assert again.reached(snapshot(**{**DONE, "received": 9, "retaken": 6, "written": 3, "rows": 3}))


def test_another_series_is_not_ours() -> None:
    assert not msgspec.structs.replace(GOAL, series_id="t").reached(snapshot(**DONE))


def test_a_missing_frame_is_named() -> None:
    with pytest.raises(SeriesProblem, match=r"2 frames are missing: 3, 5; the file /data/f.nxs"):
        GOAL.reached(snapshot(**{**DONE, "missing": 2, "missing_frames": ((3, 3), (5, 5))}))


def test_a_frame_that_was_refused_is_told_with_the_recorders_note() -> None:
    account = {**DONE, "missing": 1, "missing_frames": ((3, 3),), "refused": 1}
    with pytest.raises(SeriesProblem, match=r"1 frame is missing: 3; .*; refused frame 3: shape"):
        GOAL.reached(snapshot(notes=("refused frame 3: shape",), **account))


def test_a_series_that_failed_is_told_by_its_reason_not_by_the_frames_it_lacks() -> None:
    account = {**DONE, "rows": 3, "missing": 2, "missing_frames": ((3, 4),), "reason": "no space is left; make room"}
    with pytest.raises(SeriesProblem, match=r"^the series failed after 3 rows: no space is left; make room$"):
        GOAL.reached(snapshot(series_state=SeriesState.FAILED, **account))


def test_a_dropped_frame_is_the_acquirers() -> None:
    with pytest.raises(SeriesProblem, match=r"^it had to drop 1 frame: nobody took them in time$") as raised:
        GOAL.reached(snapshot(dropped=1, **DONE))
    assert (raised.value.debt.role, raised.value.debt.cause) == ("acquirer", Cause.DROPPED)


def test_a_frame_that_the_detector_did_not_give_is_told_with_the_acquirers_own_reason_and_no_guess_beside_it() -> None:
    with pytest.raises(SeriesProblem, match=r"^it had to drop 1 frame: the detector lost it$") as raised:
        GOAL.reached(snapshot(dropped=1, not_given=1, drop_reason="the detector lost it", **DONE))
    assert (raised.value.debt.cause, raised.value.unexplained) == (Cause.NOT_GIVEN, False)
    with pytest.raises(SeriesProblem, match=r"^it had to drop 1 frame: its detector did not give them$") as raised:
        GOAL.reached(snapshot(dropped=1, not_given=1, **DONE))
    assert (raised.value.debt.cause, raised.value.unexplained) == (Cause.NOT_GIVEN, True)


def test_what_the_detector_did_not_give_does_not_hide_that_nobody_took_the_others() -> None:
    why = "nobody took 77 of them in time, and its detector did not give 1: it lost it"
    drops: dict[str, Any] = {"dropped": 78, "not_given": 1, "drop_reason": "it lost it"}
    with pytest.raises(SeriesProblem, match=rf"^it had to drop 78 frames: {why}$") as raised:
        GOAL.reached(snapshot(**drops, **DONE))
    assert raised.value.debt.cause is Cause.DROPPED
    account = {**DONE, "missing": 78, "missing_frames": ((3, 80),)}
    with pytest.raises(SeriesProblem, match=rf"; the acquirer had to drop 78 frames: {why}$") as raised:
        GOAL.reached(snapshot(**drops, **account))
    assert raised.value.debt.cause is Cause.DROPPED
    end = {"series_state": SeriesState.INCOMPLETE, "reason": "failed by the sender: it lost it"}
    with pytest.raises(SeriesProblem, match=rf"; the acquirer had to drop 78 frames: {why}; at its end: ") as raised:
        GOAL.reached(snapshot(**drops, **account, **end))
    assert raised.value.debt.cause is Cause.DROPPED


def test_a_missing_frame_that_the_detector_did_not_give_is_told_with_the_acquirers_own_reason() -> None:
    account = {**DONE, "missing": 1, "missing_frames": ((3, 3),)}
    drops: dict[str, Any] = {"dropped": 1, "not_given": 1, "drop_reason": "the detector lost it"}
    with pytest.raises(SeriesProblem, match=r"; the acquirer had to drop 1 frame: the detector lost it$") as raised:
        GOAL.reached(snapshot(**drops, **account))
    assert raised.value.debt.cause is Cause.NOT_GIVEN
    end = {"series_state": SeriesState.INCOMPLETE, "reason": "failed by the sender: the detector lost it"}
    with pytest.raises(SeriesProblem, match=r"; the acquirer had to drop 1 frame; at its end: .*lost it$"):
        GOAL.reached(snapshot(**drops, **account, **end))


def test_frames_that_the_detector_gave_and_that_are_missing_all_the_same_were_lost_on_the_way() -> None:
    account = {**DONE, "missing": 2, "missing_frames": ((3, 4),)}
    with pytest.raises(SeriesProblem) as raised:
        GOAL.reached(snapshot(dropped=1, not_given=1, drop_reason="the detector lost it", **account))
    assert raised.value.debt.cause is Cause.LOST


def test_frames_that_are_missing_because_the_sender_ended_the_series_are_not_blamed_on_the_network() -> None:
    account = {**DONE, "missing": 1, "missing_frames": ((6, 6),)}
    why = "1 frame is missing; aborted by the sender: the acquirer was stopped"
    end = {"reason": why, "sender_reason": "the acquirer was stopped"}
    with pytest.raises(SeriesProblem, match=r"at its end: .*the acquirer was stopped$") as raised:
        WHOLE.reached(snapshot(AcquirerState.IDLE, SeriesState.INCOMPLETE, **end, **account))
    assert raised.value.debt.cause is Cause.ENDED
    # A note of the recorder may have these words, too.
    alike = {"reason": "1 frame is missing; refused frame 3: a name given by the sender: x"}
    with pytest.raises(SeriesProblem) as raised:
        WHOLE.reached(snapshot(AcquirerState.IDLE, SeriesState.INCOMPLETE, **alike, **account))
    assert raised.value.debt.cause is Cause.LOST


def test_missing_frames_are_told_with_what_was_dropped_and_with_the_reason_of_the_end() -> None:
    account = {**DONE, "missing": 1, "missing_frames": ((3, 3),), "reason": "1 frame is missing"}
    with pytest.raises(SeriesProblem, match=r"lists them; the acquirer had to drop 1 frame: nobody took .* in time$"):
        GOAL.reached(snapshot(dropped=1, **account))
    with pytest.raises(SeriesProblem, match=r"; at its end: 1 frame is missing$"):
        GOAL.reached(snapshot(series_state=SeriesState.INCOMPLETE, **account))


def test_the_acquirers_fault_goes_before_the_frames_that_were_dropped_because_of_it() -> None:
    account = {**DONE, "missing": 1, "missing_frames": ((3, 3),)}
    assert not GOAL.reached(snapshot(AcquirerState.FAULT, dropped=1, **account))


def test_a_whole_series_is_done_when_its_file_is_closed_and_complete() -> None:
    assert not WHOLE.reached(snapshot(**DONE))
    assert WHOLE.reached(snapshot(AcquirerState.IDLE, SeriesState.COMPLETE, **DONE))


@pytest.mark.parametrize(
    ("goal", "state", "rows", "said"),
    [
        (WHOLE, SeriesState.INCOMPLETE, 4, "the series ended incomplete with 4 rows: aborted"),
        (WHOLE, SeriesState.COMPLETE, 4, "the file has 4 rows"),
        (GOAL, SeriesState.COMPLETE, 6, "the series ended complete with 6 rows"),
    ],
)
def test_a_series_that_ended_otherwise_never_gets_there(goal: Goal, state: SeriesState, rows: int, said: str) -> None:
    with pytest.raises(SeriesProblem, match=said):
        goal.reached(snapshot(AcquirerState.IDLE, state, reason="aborted", **{**DONE, "rows": rows}))


def test_who_is_behind_is_named_with_the_cause() -> None:
    more = msgspec.structs.replace(GOAL, sent=9, received=9)
    problem = "3 of 3 frames are recorded; it has sent 6 of 9"
    assert more.owed(snapshot(**DONE)) == Debt("acquirer", problem, Cause.NO_FRAME)
    assert msgspec.structs.replace(more, cable=True).owed(snapshot(**DONE)).cause is Cause.NO_PULSE
    lost = GOAL.owed(snapshot(**{**DONE, "received": 4, "rows": 4}))
    assert lost == Debt("recorder", "1 of 3 frames are recorded; 2 of those sent did not arrive", Cause.NOT_ARRIVED)
    assert GOAL.owed(combine(Heard(snapshot().acquirer))) == Debt(
        "recorder", "0 of 3 frames are recorded; it does not have series s", Cause.NO_START
    )


def test_every_cause_has_a_remedy() -> None:
    assert REMEDIES.keys() == set(Cause)


def test_the_stall_deadline_follows_the_exposure() -> None:
    deadlines = Deadlines(stall_s=5)
    assert deadlines.stall_of(0.0) == 5
    assert deadlines.stall_of(31.0) == 67
