"""A DCU that is not there when the acquirer starts, or that does not answer while it arms: the status says so."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stins_acquirers.dectris import EigerBackend

from stins.control import AcquirerState, ArmRequest
from tests.acquirers.dectris.conftest import settings_for
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
        assert (running.status.state, running.status.reason) == (AcquirerState.IDLE, "")


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
