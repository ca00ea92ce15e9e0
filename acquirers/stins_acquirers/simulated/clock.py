"""When the frames of a simulation are there: by deadlines counted from the trigger, so that no error adds up."""

import time

__all__ = ["FrameClock"]

#: Frames handed over at once: enough that the loop around them costs nothing, few enough that a command waits
#: for some milliseconds only.
_BATCH = 64


class FrameClock:
    """Frame k after the trigger begins at k x period and is there when its exposure is over."""

    def __init__(self, period_s: float, exposure_s: float) -> None:
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
