"""Hardware that is not there: when that is a FAULT, and which FAULT is over once it is there."""

from collections.abc import Callable
from typing import Any

import pytest
from stins_acquirers.backend import BackendError, Frame, HardwareError, Opening
from stins_acquirers.presence import News, Presence
from stins_acquirers.simulated import SimulatedBackend, SimulatedSettings

from stins.control import AcquirerState, ArmRequest, FrameDescription, TriggerRequest
from tests.acquirers.conftest import RunningService

REQUEST = ArmRequest(series_id="s", frames_per_trigger=1000)


# -- the machine --------------------------------------------------------------------------------


def test_what_is_there_is_no_news() -> None:
    assert Presence().look("", None, 0.0) is News.NONE


def test_what_is_away_is_said_once_and_again_with_another_reason() -> None:
    presence = Presence()
    assert presence.look("no answer", None, 0.0) is News.AWAY
    assert presence.look("no answer", "no answer", 10.0) is News.NONE
    assert presence.look("HTTP 502", "no answer", 10.0) is News.AWAY


def test_a_fault_is_over_where_it_was_only_that() -> None:
    presence = Presence()
    presence.look("no answer", None, 0.0)
    assert presence.look("", "no answer", 1.0) is News.WELL
    assert presence.look("", "no answer", 2.0) is News.NONE


def test_a_command_that_has_failed_while_it_was_away_has_failed_for_that() -> None:
    presence = Presence()
    presence.look("no answer", None, 0.0)
    assert presence.look("no answer", "arm: no answer", 1.0) is News.NONE
    assert presence.look("", "arm: no answer", 2.0) is News.WELL


def test_a_fault_that_has_come_once_it_was_there_stays() -> None:
    presence = Presence()
    presence.look("no answer", None, 0.0)
    assert presence.look("", "arm: refused", 1.0) is News.THERE
    assert presence.look("", "arm: refused", 2.0) is News.NONE


def test_once_it_was_used_no_fault_is_its_absence() -> None:
    presence = Presence()
    presence.look("no answer", None, 0.0)
    presence.forget()
    assert presence.look("", "no answer", 1.0) is News.NONE


def test_behind_a_reset_it_may_have_come_back_and_else_it_is_a_fault_again() -> None:
    presence = Presence()
    presence.look("no answer", None, 0.0)
    assert presence.look("no answer", None, 10.0) is News.NONE
    assert presence.look("no answer", None, 11.9) is News.NONE
    assert presence.look("no answer", None, 12.0) is News.AWAY
    # Each reset anew.
    assert presence.look("no answer", "no answer", 13.0) is News.NONE
    assert presence.look("no answer", None, 20.0) is News.NONE
    assert presence.look("", None, 21.0) is News.THERE


# -- the acquirer -------------------------------------------------------------------------------


class Away(SimulatedBackend):
    """A detector that is away while `why` says so, and that is found only when it is looked for, or armed."""

    def __init__(self) -> None:
        super().__init__(SimulatedSettings(shape=(8, 8), exposure_s=0.01))
        self.why = "no answer"
        self.arming: Exception | None = None
        self.reading: Exception | None = None
        self.setting_up: Exception | None = None
        self.armed = False

    def absent(self) -> str:
        if (error := self.setting_up) is not None:
            self.why, self.setting_up = "", None
            raise error
        return self.why

    def describe(self) -> FrameDescription | None:
        return None if self.why else super().describe()

    def arm(self, request: ArmRequest) -> Opening:
        self.why = ""
        if self.arming is not None:
            raise self.arming
        self.armed = True
        return super().arm(request)

    def read(self, timeout_s: float) -> list[Frame]:
        if self.reading is not None:
            raise self.reading
        return list(super().read(timeout_s))


@pytest.fixture
def away() -> Away:
    return Away()


@pytest.fixture
def det(away: Away, start: Callable[..., RunningService], consume: Callable[..., Any]) -> RunningService:
    """An acquirer whose detector is away."""
    running = start(away)
    consume(running.publisher.endpoint)
    assert (running.status.state, running.status.reason) == (AcquirerState.FAULT, "no answer")
    return running


def look(det: RunningService) -> None:
    """Lets it look at its detector: before a command is answered it has, behind the one before."""
    for _ in range(2):
        det.service.abort()


def test_it_is_idle_by_itself_once_the_detector_is_there(away: Away, det: RunningService) -> None:
    away.why = ""
    status = det.until_state(AcquirerState.IDLE)
    assert (status.reason, status.frame) == ("", away.describe())


def test_an_arm_that_is_refused_before_the_detector_was_looked_for_stays_a_fault(
    away: Away, det: RunningService
) -> None:
    away.arming = HardwareError("arm: refused")
    with pytest.raises(HardwareError):
        det.service.arm(REQUEST)
    look(det)
    assert (det.status.state, det.status.reason) == (AcquirerState.FAULT, "arm: refused")


def test_a_series_that_was_armed_before_the_detector_was_looked_for_and_fails_stays_a_fault(
    away: Away, det: RunningService, consume: Callable[..., Any]
) -> None:
    det.service.arm(REQUEST)
    away.reading = HardwareError("it was restarted")
    det.service.trigger(TriggerRequest())
    det.until_state(AcquirerState.FAULT)
    look(det)
    assert (det.status.state, det.status.reason) == (AcquirerState.FAULT, "it was restarted")


def test_behind_a_reset_it_is_a_fault_again_while_the_detector_stays_away(away: Away, det: RunningService) -> None:
    assert det.service.reset().state is AcquirerState.IDLE
    assert det.until_state(AcquirerState.FAULT).reason == "no answer"


def test_a_detector_that_comes_back_behind_a_reset_is_shown_as_it_is(away: Away, det: RunningService) -> None:
    assert det.service.reset().frame is None
    away.why = ""
    look(det)
    assert (det.status.state, det.status.frame) == (AcquirerState.IDLE, away.describe())


def test_a_detector_that_is_there_and_cannot_be_set_up_is_a_fault_that_says_so(away: Away, det: RunningService) -> None:
    away.setting_up = BackendError("exposure_s: refused")
    look(det)
    status = det.status
    assert (status.state, status.reason) == (AcquirerState.FAULT, "exposure_s: refused")
    assert status.frame == away.describe() is not None
