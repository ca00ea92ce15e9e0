"""A detector that takes its time to arm: for how long it is waited for, and what becomes of what it armed in vain."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from stins_acquirers.backend import Opening
from stins_acquirers.simulated import SimulatedBackend, SimulatedSettings

from stins import EndSeries, StinsError
from stins.control import AcquirerState, ArmRequest

REQUEST = ArmRequest(series_id="s", trigger_mode="software")


class Slow(SimulatedBackend):
    """Arms when it may. Whoever asks waits for it 1 s longer than the 50 s of any command, less these 50 s."""

    arming_s = -49.0

    def __init__(self) -> None:
        super().__init__(SimulatedSettings(shape=(8, 8)))
        self.may = threading.Event()

    def arm(self, request: ArmRequest) -> Opening:
        assert self.may.wait(30)
        return super().arm(request)


def test_what_was_armed_when_nobody_waited_any_more_is_ended(
    start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    backend = Slow()
    det = start(backend, peer_timeout_s=10.0)
    consumer = consume(det.publisher.endpoint)
    with pytest.raises(StinsError, match=r"det: arm: not done within 1 s"):
        det.service.arm(REQUEST)
    backend.may.set()
    end = consumer.until(EndSeries)[-1].result.end
    assert (end.status, end.reason) == ("aborted", "whoever armed it had given up waiting")
    assert det.until_state(AcquirerState.IDLE).series_id == "s"
    backend.arming_s = 0.0
    assert det.service.arm(REQUEST).state is AcquirerState.ARMED
