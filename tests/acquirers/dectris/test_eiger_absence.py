"""A DCU that is not there when the acquirer starts, or that does not answer while it arms: the status says so."""

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from stins_acquirers.backend import HardwareError
from stins_acquirers.dectris import EigerBackend
from stins_acquirers.dectris.absence import Absence
from stins_acquirers.dectris.simplon import SimplonError

from stins.control import AcquirerState, ArmRequest
from tests.acquirers.dectris.conftest import settings_for
from tests.acquirers.dectris.silent_port import connecting, silent_port, wait_until_connecting
from tests.acquirers.simulate_kit import RunningEiger

DEADLINE_S = 30.0

Make = Callable[..., EigerBackend]
Started = Callable[..., Any]


def test_a_dcu_that_does_not_answer_is_a_fault_from_the_start_and_is_idle_by_itself_once_it_does(
    make: Make, eiger2: RunningEiger, start: Started, consume: Started
) -> None:
    eiger2.fault("http", key="*", status=502)
    running = start(make())
    consume(running.publisher.endpoint)
    first = running.status
    assert first.state is AcquirerState.FAULT
    assert "start: GET /detector/api/version: HTTP 502" in first.reason
    assert "does its service start just now?" in first.reason
    eiger2.clear_faults()
    status = running.until_state(AcquirerState.IDLE)
    assert (status.reason, status.settings["exposure_s"]) == ("", 0.002)
    assert running.service.arm(ArmRequest(series_id="s")).state is AcquirerState.ARMED
    running.service.abort()


def test_a_reset_leaves_the_fault_and_what_needs_the_dcu_finds_it_again(start: Started, eiger2: RunningEiger) -> None:
    with socket.socket() as keeper:
        keeper.bind(("127.0.0.1", 0))  # taken by who does not listen
        settings = settings_for(eiger2).model_copy(update={"http_port": keeper.getsockname()[1]})
        running = start(EigerBackend(settings))
        assert running.status.state is AcquirerState.FAULT
        assert "is it switched on, and is this its address?" in running.status.reason
        assert running.service.reset().state is AcquirerState.IDLE
        assert running.service.configure({"http_port": eiger2.port}).settings["exposure_s"] == 0.002
        assert running.until_state(AcquirerState.IDLE).reason == ""


def test_while_the_dcu_does_not_answer_that_it_is_armed_the_status_says_so(
    make: Make, eiger2: RunningEiger, start: Started, consume: Started
) -> None:
    running = start(make(arm_timeout_s=60.0))
    consume(running.publisher.endpoint)
    eiger2.fault("silence", key="detector/command/arm")
    with ThreadPoolExecutor() as background:
        arming = background.submit(running.service.arm, ArmRequest(series_id="s"))
        busy = running.until(lambda status: bool(status.busy)).busy
        eiger2.clear_faults()
        assert busy.startswith("arming: the DCU has not answered for ")
        assert busy.endswith(" s (at most 60 s: arm_timeout_s)")
        status = arming.result(DEADLINE_S)
    assert (status.state, status.busy) == (AcquirerState.ARMED, "")
    running.service.abort()


# -- a DCU that has come back is set up beside the loop -----------------------------------------


def back(make: Make, eiger2: RunningEiger, start: Started, fault: str, **settings: Any) -> Any:
    """An acquirer whose DCU was away, and answers its version; it is set up, and this fault is behind that."""
    eiger2.fault("http", key="*", status=502)
    running = start(make(**settings))
    eiger2.clear_faults()
    eiger2.fault(fault, key="detector/*/*", **({"seconds": 0.2} if fault == "slow" else {}))
    before, deadline = eiger2.status()["faults_hit"], time.monotonic() + DEADLINE_S
    while eiger2.status()["faults_hit"] == before:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return running


def test_a_dcu_that_hangs_behind_its_version_holds_up_no_command(
    make: Make, eiger2: RunningEiger, start: Started
) -> None:
    running = back(make, eiger2, start, "silence", answer_timeout_s=60.0)
    asked = time.monotonic()
    assert running.service.abort().state is AcquirerState.FAULT
    assert time.monotonic() - asked < 10
    eiger2.clear_faults()
    status = running.until_state(AcquirerState.IDLE)
    assert (status.reason, status.frame is not None) == ("", True)


def test_a_detector_is_not_armed_while_it_is_set_up_and_is_idle_by_itself_once_it_is(
    make: Make, eiger2: RunningEiger, start: Started, consume: Started
) -> None:
    running = back(make, eiger2, start, "slow", answer_timeout_s=0.7)
    consume(running.publisher.endpoint)
    with pytest.raises(HardwareError, match=r"arm: it answers again, and was not set up within 1.4 s; try again when"):
        running.service.arm(ArmRequest(series_id="s"))
    with pytest.raises(HardwareError, match=r"configure: it answers again, and was not set up within 1.4 s; try again"):
        running.service.configure({"exposure_s": 0.01})
    eiger2.clear_faults()
    assert running.until_state(AcquirerState.IDLE).settings["exposure_s"] == 0.002


def until_there(backend: EigerBackend) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while problem := backend.absent():
        assert time.monotonic() < deadline, problem
        time.sleep(0.02)


def test_a_setting_that_a_dcu_refuses_once_it_is_back_is_told_once(make: Make, eiger2: RunningEiger) -> None:
    eiger2.fault("http", key="*", status=502)
    backend = make(exposure_s=0.004)
    eiger2.clear_faults()
    eiger2.fault("refuse", key="detector/config/count_time")
    with pytest.raises(SimplonError, match=r"start: PUT /detector/api/1.8.0/config/count_time = 0.004: HTTP 400"):
        until_there(backend)
    assert backend.absent() == ""
    assert backend.describe() is not None


def test_an_acquirer_that_looks_for_its_dcu_behind_a_firewall_stops_at_once(eiger2: RunningEiger) -> None:
    with silent_port() as port:
        settings = settings_for(eiger2).model_copy(update={"http_port": port})
        absence = Absence(settings, "no answer", lambda: None, look_s=0.0)
        assert not absence.go_on()
        wait_until_connecting(port)
        began = time.monotonic()
        absence.close()
        # A connection is given up by itself after 3 s.
        assert time.monotonic() - began < 2
        assert not connecting(port)
