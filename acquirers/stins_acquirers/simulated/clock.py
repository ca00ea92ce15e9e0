"""When the frames of a simulation are there: by deadlines counted from the trigger, so that no error adds up."""

import ctypes
import time
from collections.abc import Callable
from functools import cache
from typing import Any, Final

__all__ = ["FrameClock"]

#: Of linux/prctl.h.
_PR_SET_TIMERSLACK: Final = 29

#: Frames handed over at once: enough that the loop around them costs nothing, few enough that a command waits
#: for some milliseconds only.
_BATCH = 64


class FrameClock:
    """Frame k after the trigger begins at k x period and is there when its exposure is over."""

    def __init__(self, period_s: float, exposure_s: float) -> None:
        _sleep_exactly()
        self._period_s = period_s
        self._exposure_s = exposure_s
        self._started = time.monotonic_ns()
        self._taken = 0

    def wait(self, timeout_s: float, most: int) -> int:
        """How many frames are there and not taken yet, at most `most`, waiting for the first of them."""
        if self._period_s == 0:
            return min(most, _BATCH)
        first_due_s = self._taken * self._period_s + self._exposure_s
        elapsed_s = self._elapsed_s()
        if most > 0 and elapsed_s < first_due_s:
            time.sleep(min(timeout_s, first_due_s - elapsed_s))
            elapsed_s = self._elapsed_s()
        due = int((elapsed_s - self._exposure_s) / self._period_s) + 1 if elapsed_s >= first_due_s else self._taken
        return min(most, _BATCH, due - self._taken)

    def take(self) -> int:
        """Takes one frame; when its exposure began, in nanoseconds of `time.monotonic_ns`."""
        index, self._taken = self._taken, self._taken + 1
        if self._period_s == 0:
            return time.monotonic_ns()
        return self._started + round(index * self._period_s * 1e9)

    def _elapsed_s(self) -> float:
        return (time.monotonic_ns() - self._started) / 1e9


def _sleep_exactly() -> None:
    """The calling thread wakes when it is to, and not up to 50 us later, which is how Linux saves power (prctl(2))."""
    if (prctl := _prctl()) is not None:
        prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


@cache
def _prctl() -> Callable[..., Any] | None:
    return getattr(ctypes.CDLL(None), "prctl", None)
