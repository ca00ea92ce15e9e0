"""A detector that is busy between series is waited for before it is armed."""

import msgspec
import pytest

from stins.control import AcquirerState, AcquirerStatus, RecorderState, RecorderStatus
from stins.daemon.client import DaemonClient
from stins_ophyd.controller import ControllerError, Deadlines
from stins_ophyd.controller.awaited import until_free, until_idle
from stins_ophyd.controller.observer import Observer
from stins_ophyd.controller.remedies import Cause, Debt
from stins_ophyd.controller.snapshot import Heard, Snapshot, combine

BUSY = AcquirerStatus(
    name="p", backend="pilatus", state=AcquirerState.IDLE, boot_id="a", pid=1, busy="the detector is being trimmed"
)
DONE = msgspec.structs.replace(BUSY, busy="")


def seen(acquirer: AcquirerStatus | None) -> Snapshot:
    """What the controller knows."""
    return combine(Heard(acquirer, RecorderStatus(name="w", state=RecorderState.IDLE, boot_id="r", pid=2)))


@pytest.fixture
def observer() -> Observer:
    """One that was never opened: it hears what it is told."""
    acquirer = DaemonClient("acquirer", "http://127.0.0.1:9", AcquirerStatus)
    recorder = DaemonClient("recorder", "http://127.0.0.1:9", RecorderStatus)
    yield Observer(acquirer, recorder, Deadlines())
    acquirer.close()
    recorder.close()


def test_a_busy_detector_is_idle_and_not_free() -> None:
    assert until_idle("arm", 1.0).done(seen(BUSY))
    assert [until_free("arm", 1.0).done(seen(each)) for each in (BUSY, DONE, None)] == [False, True, False]


def test_one_that_stays_busy_is_told_with_what() -> None:
    debt = until_free("arm", 1.0).owed(seen(BUSY))
    assert debt == Debt("acquirer", "it is busy still: the detector is being trimmed", Cause.BUSY)


def test_who_waits_for_it_can_be_interrupted() -> None:
    assert not until_free("arm", 1.0).despite_interruption
    assert not until_free("arm", 1.0).despite_fault


def test_what_the_acquirer_answered_is_known_before_it_is_pushed(observer: Observer) -> None:
    observer._update(acquirer=DONE)
    observer.answered(BUSY)
    assert observer.snapshot.acquirer == BUSY
    with pytest.raises(ControllerError, match="it is busy still: the detector is being trimmed"):
        observer.wait(msgspec.structs.replace(until_free("arm", 0.01), despite_offline=True))


def test_an_answer_does_not_bring_back_a_process_that_is_not_heard(observer: Observer) -> None:
    observer.answered(BUSY)
    assert observer.snapshot.acquirer is None
