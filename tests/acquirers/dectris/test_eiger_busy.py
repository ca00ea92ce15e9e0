"""A detector that initializes: the acquirer's status says so until it is done."""

from collections.abc import Callable
from typing import Any

from stins_acquirers.dectris import EigerBackend

from stins.control import AcquirerState, ArmRequest
from tests.acquirers.simulate_kit import RunningEiger


def test_the_status_says_that_the_detector_initializes_and_then_it_can_be_armed(
    eiger2: RunningEiger, make: Callable[..., EigerBackend], start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    eiger2.restart()
    # It takes as long as the test wants.
    eiger2.fault("silence", key="detector/command/initialize")
    running = start(make(answer_timeout_s=1.0))
    consume(running.publisher.endpoint)
    assert running.status.busy == "the detector is being initialized"
    eiger2.clear_faults()
    running.until(lambda status: not status.busy)
    running.service.configure({"answer_timeout_s": 5.0})
    assert running.service.arm(ArmRequest(series_id="s")).state is AcquirerState.ARMED
    running.service.abort()


def test_the_time_that_arming_may_take_is_that_of_all_its_steps(make: Callable[..., EigerBackend]) -> None:
    backend = make(arm_timeout_s=120, answer_timeout_s=5, end_timeout_s=4)
    assert backend.arming_s == 120 + 3 * 5 + 4
