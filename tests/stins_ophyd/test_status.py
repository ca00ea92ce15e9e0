"""The thread behind a Status: one thing after the other, and none waited for without end."""

import threading
from collections.abc import Callable, Iterator

import pytest
from ophyd import Device

from stins import StinsError
from stins_ophyd.status import ProgressStatus, Worker


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    """What somebody waits for who does not come back by himself."""
    event = threading.Event()
    yield event
    event.set()


def test_what_does_not_end_is_named_with_device_and_step(hanging: threading.Event) -> None:
    device, worker = Device(name="det"), Worker("det-worker", join_s=0.05)
    worker.run(ProgressStatus(device, target=1, what="prepare"), lambda: hanging.wait(20))
    with pytest.raises(StinsError, match=r"det prepare under way: not over within 0\.05 s"):
        worker.join()
    second = worker.run(ProgressStatus(device, target=1, what="kickoff"), lambda: None)
    with pytest.raises(StinsError, match=r"det prepare under way: not over within 0\.05 s"):
        second.wait(10)


def test_one_thing_is_done_after_the_other() -> None:
    device, worker, done = Device(name="det"), Worker("det-worker", join_s=10), []
    for step in range(5):
        status = worker.run(ProgressStatus(device, target=1), lambda step=step: done.append(step))
    status.wait(10)
    worker.join()
    assert done == [0, 1, 2, 3, 4]
    assert not worker.busy


def test_a_status_that_nobody_waits_for_is_done_once_nobody_can_be_disturbed() -> None:
    """Else its thread would wait for ever, one for each run that was aborted in the middle of an exposure."""

    def fails() -> None:
        raise StinsError("the series was ended")

    device, worker = Device(name="det"), Worker("det-worker")
    status = ProgressStatus(device, target=1)
    begun = threading.Event()
    worker.run(status, lambda: (begun.wait(10), fails()))
    worker.abandon()
    begun.set()
    worker.join()
    assert not status.done
    worker.settle()
    with pytest.raises(StinsError, match="the series was ended"):
        status.wait(10)


def test_work_begins_before_its_status_is_made_and_waits_for_it() -> None:
    device, worker = Device(name="det"), Worker("det-worker")
    begun = threading.Event()

    def make() -> ProgressStatus:
        assert begun.wait(10)
        assert worker.busy
        return ProgressStatus(device, target=1)

    def work(status: Callable[[], ProgressStatus]) -> None:
        begun.set()
        assert not status().done
        raise StinsError("no frame came")

    status = worker.run_at_once(make, work)
    with pytest.raises(StinsError, match="no frame came"):
        status.wait(10)
    worker.join()
    assert not worker.busy
