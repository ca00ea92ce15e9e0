"""A detector that initializes: the acquirer's status says so until it is done."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stins_acquirers.dectris import EigerBackend

from stins.control import AcquirerState, ArmRequest
from tests.acquirers.simulate_kit import RunningEiger, running_eiger

DEADLINE_S = 30.0


@pytest.fixture
def cold() -> Iterator[RunningEiger]:
    """A detector that was just switched on, and takes a while."""
    with running_eiger(model="eiger2-1m", initialize_s=2.5) as eiger:
        yield eiger


def test_the_status_says_that_the_detector_initializes_and_then_it_can_be_armed(
    cold: RunningEiger, make: Callable[..., EigerBackend], start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    backend = make(cold, answer_timeout_s=0.2)
    running = start(backend)
    consume(running.publisher.endpoint)
    assert running.status.busy == "the detector is being initialized"
    done = threading.Event()
    forget = running.service.board.listen(lambda: running.status.busy or done.set())
    assert done.wait(DEADLINE_S)
    forget()
    running.service.configure({"answer_timeout_s": 5.0})
    assert running.service.arm(ArmRequest(series_id="s")).state is AcquirerState.ARMED
    running.service.abort()


def test_the_time_that_arming_may_take_is_that_of_all_its_steps(make: Callable[..., EigerBackend]) -> None:
    backend = make(arm_timeout_s=120, answer_timeout_s=5, end_timeout_s=4)
    assert backend.arming_s == 120 + 3 * 5 + 4
