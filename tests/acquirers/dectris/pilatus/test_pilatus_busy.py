"""While the detector is trimmed the acquirer's status says so, and afterwards what came of it."""

from collections.abc import Callable
from typing import Any

import pytest
from stins_acquirers.dectris.pilatus import PilatusBackend
from stins_acquirers.simulate.camserver import Fault, Simulator

from stins import StinsError
from stins.control import AcquirerState, ArmRequest

Make = Callable[..., PilatusBackend]
Started = Callable[..., Any]


def test_the_status_says_that_the_detector_is_trimmed_and_then_what_it_has(
    simulate: Callable[..., Simulator], make: Make, start: Started
) -> None:
    running = start(make(simulate(threshold_s=2.0), answer_timeout_s=0.1))
    status = running.service.configure({"threshold_energy": 7_000})
    assert (status.state, status.settings["incident_energy"]) == (AcquirerState.IDLE, None)
    assert status.busy == "'setthreshold 7000' is under way: the detector is being trimmed"
    done = running.until(lambda status: not status.busy)
    assert (done.state, done.settings["incident_energy"]) == (AcquirerState.IDLE, 14_000)


def test_an_acquirer_that_begins_with_trimming_says_so(
    simulate: Callable[..., Simulator], make: Make, start: Started
) -> None:
    running = start(make(simulate(threshold_s=2.0), incident_energy=11_000))
    assert running.status.busy == "'setenergy 11000' is under way: the detector is being trimmed"
    running.until(lambda status: not status.busy)


def test_an_energy_that_is_refused_late_is_a_fault_and_nobody_has_to_arm_to_hear_of_it(
    make: Make, camserver: Simulator, start: Started
) -> None:
    running = start(make(camserver, answer_timeout_s=0.1))
    camserver.add_fault(Fault(kind="slow", command="setenergy", seconds=2.0, times=1))
    assert running.service.configure({"incident_energy": 90_000}).busy
    fault = running.until_state(AcquirerState.FAULT)
    assert "configure: 'setenergy 90000': got '15 ERR Energy: out of range" in fault.reason
    running.until(lambda status: not status.busy)


def test_a_threshold_that_takes_for_ever_is_a_fault_of_its_own(
    make: Make, camserver: Simulator, start: Started
) -> None:
    running = start(make(camserver, answer_timeout_s=0.1, threshold_timeout_s=0.5))
    camserver.add_fault(Fault(kind="silence", command="setthreshold", times=1))
    running.service.configure({"threshold_energy": 7_000})
    fault = running.until_state(AcquirerState.FAULT)
    assert "'setthreshold 7000': no answer within 0.5 s; look at its window, or restart it" in fault.reason


def test_whoever_arms_all_the_same_is_told_to_wait(
    make: Make, camserver: Simulator, start: Started, consume: Started
) -> None:
    running = start(make(camserver, answer_timeout_s=0.1))
    consume(running.publisher.endpoint)
    camserver.add_fault(Fault(kind="silence", command="setthreshold", times=1))
    running.service.configure({"threshold_energy": 7_000})
    with pytest.raises(StinsError, match=r"'setthreshold 7000' has been under way for .* try again when it is done"):
        running.service.arm(ArmRequest(series_id="s"))
    assert running.status.state is AcquirerState.IDLE
