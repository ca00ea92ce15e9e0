"""The combined state is a table without holes."""

import itertools

import msgspec
import pytest

from stins.control import AcquirerState, AcquirerStatus, RecorderState, RecorderStatus, SeriesState, SeriesStatus
from stins_ophyd.controller import COMBINED, CombinedState
from stins_ophyd.controller.awaited import is_coming_back, until_idle, until_recorded
from stins_ophyd.controller.goal import Goal
from stins_ophyd.controller.series import Series, fault_of
from stins_ophyd.controller.snapshot import UNHEARD, Heard, combine

ACQUIRER = AcquirerStatus(
    name="sim", backend="simulated", state=AcquirerState.IDLE, boot_id="a1", pid=1, streams=("tcp://127.0.0.1:1",)
)
RECORDER = RecorderStatus(name="writer", state=RecorderState.IDLE, boot_id="r1", pid=2)
SERIES = Series(
    id="s", filename="f", trigger_mode="software", frames_per_trigger=1, triggers=None,
    acquirer_boot="a1", recorder_boot="r1",
)  # fmt: skip


def heard(acquirer: AcquirerState = AcquirerState.IDLE, recorder: RecorderState = RecorderState.IDLE) -> Heard:
    """Both processes in these states."""
    return Heard(
        msgspec.structs.replace(ACQUIRER, state=acquirer, reason="hot"),
        msgspec.structs.replace(RECORDER, state=recorder, reason="full"),
    )


def test_every_pair_of_states_has_a_row() -> None:
    assert set(COMBINED) == set(itertools.product([*AcquirerState, None], [*RecorderState, None]))


def test_every_combined_state_can_be_reached() -> None:
    assert set(COMBINED.values()) == set(CombinedState)


def test_an_armed_acquirer_is_not_armed_before_the_file_is_open() -> None:
    assert combine(heard(AcquirerState.ARMED, RecorderState.READY)).state is not CombinedState.ARMED


@pytest.mark.parametrize(
    ("state", "culprit", "reason"),
    [
        (heard(AcquirerState.FAULT), "acquirer", "acquirer 'sim': hot"),
        (heard(recorder=RecorderState.FAULT), "recorder", "recorder 'writer': full"),
        (heard(AcquirerState.FAULT, RecorderState.FAULT), "acquirer", "acquirer 'sim': hot; recorder 'writer': full"),
    ],
)
def test_a_fault_says_whose_it_is_and_why(state: Heard, culprit: str, reason: str) -> None:
    snapshot = combine(state)
    assert (snapshot.state, snapshot.culprit, snapshot.reason) == (CombinedState.FAULT, culprit, reason)


def test_offline_says_who_is_missing_and_why() -> None:
    snapshot = combine(Heard(ACQUIRER, None, "", "recorder: gone"))
    assert (snapshot.state, snapshot.culprit, snapshot.reason) == (CombinedState.OFFLINE, "recorder", "recorder: gone")
    assert "acquirer: nothing heard yet; recorder: nothing heard yet" in combine(UNHEARD).reason


def test_a_series_with_dropped_frames_is_told_in_any_state() -> None:
    dropping = msgspec.structs.replace(ACQUIRER, state=AcquirerState.ACQUIRING, series_id="s", frames_dropped=3)
    snapshot = combine(Heard(dropping, msgspec.structs.replace(RECORDER, state=RecorderState.RECORDING)))
    assert (snapshot.state, snapshot.culprit) == (CombinedState.ACQUIRING, "acquirer")
    assert snapshot.reason == "acquirer 'sim' had to drop frames of series s; its file lacks them"


def test_a_new_boot_id_in_the_middle_of_a_series_is_its_fault() -> None:
    reborn = Heard(msgspec.structs.replace(ACQUIRER, boot_id="a2"), RECORDER)
    fault = fault_of(SERIES, reborn)
    assert fault == ("acquirer", "acquirer 'sim' restarted in the middle of series s")
    assert combine(reborn, fault).state is CombinedState.FAULT
    assert fault_of(SERIES, Heard(ACQUIRER, RECORDER)) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"step": "flush"}, "recorder 'writer' hangs in flush"),
        ({"state": RecorderState.RECOVERING}, "recorder 'writer' lost its writer, and another goes on"),
    ],
)
def test_what_has_not_failed_yet_is_said_and_no_fault(changes: dict[str, object], reason: str) -> None:
    recorder = msgspec.structs.replace(RECORDER, **{"state": RecorderState.RECORDING, **changes})
    acquiring = msgspec.structs.replace(ACQUIRER, state=AcquirerState.ACQUIRING)
    snapshot = combine(Heard(acquiring, recorder))
    assert (snapshot.state, snapshot.culprit, snapshot.reason) == (CombinedState.ACQUIRING, "recorder", reason)


def test_a_recorder_that_was_restarted_and_goes_on_with_the_series_is_no_fault() -> None:
    reborn = msgspec.structs.replace(RECORDER, boot_id="r2")
    assert fault_of(SERIES, Heard(ACQUIRER, reborn)) == (
        "recorder", "recorder 'writer' restarted in the middle of series s, and lost it",
    )  # fmt: skip
    goes_on = msgspec.structs.replace(reborn, series=SeriesStatus(series_id="s", state=SeriesState.OPEN))
    assert fault_of(SERIES, Heard(ACQUIRER, goes_on)) is None


def test_a_series_that_could_not_be_recorded_is_the_recorders_fault() -> None:
    failed = SeriesStatus(series_id="s", state=SeriesState.FAILED, reason="no room")
    fault = fault_of(SERIES, Heard(ACQUIRER, msgspec.structs.replace(RECORDER, series=failed)))
    assert fault == ("recorder", "recorder 'writer' could not record series s: no room")


@pytest.mark.parametrize(
    ("changes", "coming"),
    [
        ({"state": AcquirerState.ACQUIRING, "replay": True}, True),
        ({"state": AcquirerState.IDLE, "replay": True, "unacked": 3}, True),
        ({"state": AcquirerState.IDLE, "replay": True}, False),
        ({"state": AcquirerState.ACQUIRING, "unacked": 3}, False),
    ],
)
def test_a_recorder_is_waited_for_while_the_acquirer_keeps_something_for_it(
    changes: dict[str, object], coming: bool
) -> None:
    acquirer = msgspec.structs.replace(ACQUIRER, **changes)
    assert is_coming_back(combine(Heard(acquirer, None))) is coming


@pytest.mark.parametrize("replay", [True, False])
def test_who_waits_for_the_recorders_account_waits_for_it_though_all_was_acked(replay: bool) -> None:
    goal = Goal.whole("s", 3)
    acquirer = msgspec.structs.replace(ACQUIRER, state=AcquirerState.IDLE, replay=replay)
    assert until_recorded(goal, 1.0, 0.0).is_coming_back(combine(Heard(acquirer, None))) is replay
    assert not until_idle("arm", 1.0).is_coming_back(combine(Heard(acquirer, None)))
