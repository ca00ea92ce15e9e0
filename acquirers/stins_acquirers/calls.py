"""Commands from any thread, run one after the other in the thread of the loop."""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures import wait as futures_wait
from typing import Generic, TypeVar

from stins import StinsError

__all__ = ["Call", "CallQueue"]

R = TypeVar("R")

#: Commands that wait at the same time. More than a few mean that nobody runs them.
_MOST = 64
#: How often whoever waits for a long command looks how that is.
_LOOK_S = 1.0


class Call(Generic[R]):
    """One command on its way: `run` it, then `finish` or `fail` it."""

    def __init__(self, name: str, run: Callable[[], None]) -> None:
        self.name = name
        self.run = run
        self._future: Future[R] = Future()
        # Between the end of the wait and the answer: the caller has the one, or the loop knows of the other.
        self._lock = threading.Lock()
        self._given_up = False

    def begin(self) -> bool:
        """Whether the caller still waits; a command whose caller gave up is not run."""
        return self._future.set_running_or_notify_cancel()

    def finish(self, result: R) -> bool:
        """The answer; whether the caller still waited for it."""
        with self._lock:
            self._future.set_result(result)
            return not self._given_up

    def fail(self, error: StinsError) -> None:
        """The refusal."""
        self._future.set_exception(error)

    def over(self, timeout_s: float) -> bool:
        """Whether there is an answer within that time."""
        return bool(futures_wait((self._future,), max(0.0, timeout_s)).done)

    def wait(self, timeout_s: float) -> R:
        """The answer; raises `TimeoutError` and gives the command up: one that was not begun by then never is."""
        try:
            return self._future.result(timeout_s)
        except FutureTimeout:
            with self._lock:
                if self._future.done():
                    return self._future.result()
                self._given_up = True
                self._future.cancel()
            raise


class CallQueue(Generic[R]):
    """The commands that wait for the loop."""

    def __init__(self, name: str, deadline_s: float) -> None:
        self._name = name
        self._deadline_s = deadline_s
        # The one queue that a signal handler may put into while its own thread gets; bounded by `call`.
        self._calls: queue.SimpleQueue[Call[R] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False

    def call(
        self, name: str, run: Callable[[], None], *, longer_s: float = 0.0, meanwhile: Callable[[], None] | None = None
    ) -> R:
        """Has `run` called in the loop and returns its answer; raises `StinsError`.

        `longer_s` is added to the deadline, in s; `meanwhile` is called once a second, by the thread that waits.
        """
        call: Call[R] = Call(name, run)
        with self._lock:
            if self._closed:
                raise StinsError(f"{self._name}: {name}: the acquirer is stopping")
            if self._calls.qsize() >= _MOST:
                raise StinsError(f"{self._name}: {name}: {_MOST} commands wait already")
            self._calls.put(call)
        deadline_s = self._deadline_s + longer_s
        deadline = time.monotonic() + deadline_s
        while meanwhile is not None and (left_s := deadline - time.monotonic()) > 0:
            if call.over(min(_LOOK_S, left_s)):
                break
            meanwhile()
        try:
            return call.wait(max(0.0, deadline - time.monotonic()))
        except FutureTimeout:
            raise StinsError(f"{self._name}: {name}: not done within {deadline_s:g} s") from None

    def next(self, timeout_s: float) -> Call[R] | None:
        """The next command, waiting at most `timeout_s` for one; None without, or after `close`."""
        if timeout_s <= 0 and self._calls.empty():
            # Asked with each frame: the exception would cost more than the rest of it.
            return None
        try:
            call = self._calls.get(timeout=timeout_s) if timeout_s else self._calls.get_nowait()
        except queue.Empty:
            return None
        return call if call is not None and call.begin() else None

    def close(self) -> None:
        """Refuses every further command and wakes the loop. May be called from a signal handler, and twice."""
        self._closed = True
        self._calls.put(None)

    def refuse_rest(self) -> None:
        """The loop is over: nobody may wait for an answer any longer."""
        with self._lock:
            self._closed = True
        while not self._calls.empty():
            call = self._calls.get_nowait()
            if call is not None and call.begin():
                call.fail(StinsError(f"{self._name}: {call.name}: the acquirer was stopped"))
