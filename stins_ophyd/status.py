"""The Status of something that makes progress, and the thread that does it."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from ophyd import Device, DeviceStatus

from stins import StinsError

__all__ = ["ProgressStatus", "Worker"]


class ProgressStatus(DeviceStatus):
    """Tells a progress bar how far it is, and says in its text why it failed: a stop document keeps only that text."""

    def __init__(self, device: Device, *, target: int, unit: str = "frames", what: str = "") -> None:
        self._target = target
        self._unit = unit
        self._what = what
        self._started = time.monotonic()
        # What has failed has already ended its series; a second stop from here could only hit the next one.
        super().__init__(device, call_stop_on_failure=False)

    def watch(self, func: Callable[..., Any]) -> None:
        """Calls `func` with each progress, by the keywords that bluesky's ProgressBarManager takes."""
        self._watchers.append(func)

    def progress(self, current: int) -> None:
        """Tells the watchers that so many are done."""
        fraction = 1 - current / self._target if self._target else 0.0
        for watcher in list(self._watchers):
            watcher(
                name=self.device.name,
                current=current,
                initial=0,
                target=self._target,
                unit=self._unit,
                precision=0,
                fraction=fraction,
                time_elapsed=time.monotonic() - self._started,
                time_remaining=None,
            )

    def _settled(self) -> None:
        """Nothing more to tell: the base would send a progress without numbers."""

    def __str__(self) -> str:
        state = "done" if self.success else "failed" if self.done else "under way"
        step = f"{self.device.name} {self._what or 'action'} {state}"
        # What the error itself says of device and step stands here already.
        why = str(self._exception or "").removeprefix(f"{self.device.name}: {self._what}: ")
        return f"{step}: {why}" if why else step

    __repr__ = __str__


class Worker:
    """Does one thing after the other in a thread, so that the RunEngine's loop never waits for a process.

    `join_s`: how long something that was ended may take to be over.
    """

    def __init__(self, name: str, join_s: float = 20.0) -> None:
        self._name = name
        self._join_s = join_s
        self._thread: threading.Thread | None = None
        self._status: Future[DeviceStatus] | None = None
        self._abandoned = threading.Event()
        self._unsaid: list[tuple[DeviceStatus, Exception]] = []

    @property
    def busy(self) -> bool:
        """Whether something is being done, also where nobody has a Status of it."""
        thread, promise = self._thread, self._status
        if thread is None or promise is None:
            return False
        if promise.done() and promise.exception() is None:
            # Whoever hears that it is done may go on at once, the thread or no thread.
            return not promise.result().done
        return thread.is_alive()

    def run(self, status: DeviceStatus, work: Callable[[], object]) -> DeviceStatus:
        """Does `work` once what came before is over; what it raises fails the status, which is returned."""
        return self.run_at_once(lambda: status, lambda _: work())

    def run_at_once(
        self,
        make: Callable[[], DeviceStatus],
        work: Callable[[Callable[[], DeviceStatus]], object],
        dropped: Callable[[Exception], object] = lambda _: None,
    ) -> DeviceStatus:
        """As `run`, but the work begins before its Status is made, which takes 0.1 ms; it is told how to get it.

        What `make` raises is raised here, and whoever asks for the Status is told so. `dropped` is called with the
        reason where `work` never is: no thread can be started, or what came before is not over in time.
        """
        come = partial(self._await, self._thread, self._status)
        promise: Future[DeviceStatus] = Future()
        abandoned = threading.Event()

        def body() -> None:
            error = _outcome(come, lambda: work(promise.result), dropped)
            try:
                status = promise.result()
            except StinsError:  # whoever wanted one has been told why there is none
                return
            if error is None:
                status.set_finished()
            elif abandoned.is_set():
                self._unsaid.append((status, error))
            else:
                status.set_exception(error)

        thread = threading.Thread(target=body, name=self._name, daemon=True)
        try:
            thread.start()
        except Exception as error:
            dropped(error)
            raise
        self._thread, self._status, self._abandoned = thread, promise, abandoned
        try:
            status = make()
        except BaseException as error:  # a Ctrl-C as it is would end each thread that asks
            promise.set_exception(StinsError(f"its Status could not be made: {error!r}"))
            raise
        promise.set_result(status)
        return status

    def abandon(self) -> None:
        """What is being done may fail from now on without failing its Status, for which nobody waits any more.

        A Status that fails while a plan is being cleaned up is thrown into the cleaning up, and breaks it off.
        """
        self._abandoned.set()

    def settle(self) -> None:
        """Says now what was kept back: a Status that never is done has a thread that waits for it, for ever."""
        unsaid, self._unsaid = self._unsaid, []
        for status, error in unsaid:
            status.set_exception(error)

    def join(self) -> None:
        """Waits until nothing is being done.

        Raises:
            StinsError: it is not over in time; the text names device and step.
        """
        if self._thread is not threading.current_thread():
            self._await(self._thread, self._status)

    def _await(self, thread: threading.Thread | None, status: "Future[DeviceStatus] | None") -> None:
        if thread is None or status is None:
            return
        thread.join(self._join_s)
        if thread.is_alive():
            what = status.exception() or status.result()
            raise StinsError(f"{self._name}: {what}: not over within {self._join_s:g} s")


def _outcome(
    come: Callable[[], None], work: Callable[[], object], dropped: Callable[[Exception], object]
) -> Exception | None:
    """What went wrong with `work`, or with what is to `come` before it; whatever it is, it must reach whoever waits."""
    try:
        try:
            come()
        except Exception as error:
            dropped(error)
            raise
        work()
    except Exception as error:
        return error
    return None
