"""The thread behind a Status: one thing after the other, and none waited for without end."""

import mmap
import threading
from collections.abc import Callable, Iterator

import pytest
from ophyd import Device

from stins import StinsError
from stins_ophyd.status import ProgressStatus, Worker
from tests.stins_ophyd.no_threads import STACK_BYTES, no_threads


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


def test_work_whose_status_cannot_be_made_ends_and_hinders_nobody() -> None:
    device, worker, told, over = Device(name="det"), Worker("det-worker", join_s=10), list[Exception](), []
    heard = threading.Event()

    def make() -> ProgressStatus:
        raise KeyboardInterrupt

    def work(status: Callable[[], ProgressStatus]) -> None:
        try:
            status()
        except StinsError as error:
            told.append(error)
            heard.wait(10)

    with pytest.raises(KeyboardInterrupt):
        worker.run_at_once(make, work)
    assert worker.busy
    heard.set()
    worker.join()
    assert [str(error) for error in told] == ["its Status could not be made: KeyboardInterrupt()"]
    assert not worker.busy
    worker.run(ProgressStatus(device, target=1), lambda: over.append(1)).wait(10)
    assert over == [1]


def test_what_has_no_status_and_does_not_end_is_named(hanging: threading.Event) -> None:
    def make() -> ProgressStatus:
        raise ValueError("no such thing")

    worker = Worker("det-worker", join_s=0.05)
    with pytest.raises(ValueError, match="no such thing"):
        worker.run_at_once(make, lambda _: hanging.wait(20))
    with pytest.raises(StinsError, match=r"det-worker: its Status could .*no such thing.*: not over within 0\.05 s"):
        worker.join()


def test_no_system_has_the_addresses_for_the_stack_that_is_to_be_refused() -> None:
    noreserve = 0x4000  # Linux's MAP_NORESERVE, which Python 3.11 does not name: nobody counts it
    uncounted = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | noreserve
    with pytest.raises(OSError, match="Cannot allocate memory"):
        mmap.mmap(-1, STACK_BYTES, flags=uncounted)


def test_work_that_gets_no_thread_is_dropped_and_what_comes_next_is_done() -> None:
    device, worker, dropped = Device(name="det"), Worker("det-worker", join_s=10), list[Exception]()
    make = lambda: ProgressStatus(device, target=1)  # noqa: E731
    with no_threads(), pytest.raises(RuntimeError, match="can't start new thread"):
        worker.run_at_once(make, lambda _: None, dropped.append)
    assert [str(error) for error in dropped] == ["can't start new thread"]
    worker.join()
    assert not worker.busy
    worker.run(make(), lambda: None).wait(10)


def test_work_is_dropped_where_what_came_before_does_not_end(hanging: threading.Event) -> None:
    device, worker, dropped, done = Device(name="det"), Worker("det-worker", join_s=0.05), list[Exception](), []
    worker.run(ProgressStatus(device, target=1, what="prepare"), lambda: hanging.wait(20))
    status = worker.run_at_once(lambda: ProgressStatus(device, target=1), lambda _: done.append(1), dropped.append)
    with pytest.raises(StinsError, match=r"det prepare under way: not over within 0\.05 s"):
        status.wait(10)
    assert dropped == [status.exception()]
    assert done == []
