"""When the frames of a capture are due, counted from a trigger."""

import time

from ..backend import Frame
from .settings import ReplaySettings

__all__ = ["Schedule"]


class Schedule:
    """The first frame is due at once, each other as far behind the one before as it was then (or as `rate_hz` says)."""

    def __init__(self, settings: ReplaySettings) -> None:
        self._settings = settings
        self._last: Frame | None = None
        self._last_due = time.monotonic()

    def due(self, frame: Frame, timeout_s: float) -> bool:
        """Whether the frame's time has come, waiting at most `timeout_s` for it."""
        due = self._last_due + (self._pause_s(self._last, frame) if self._last else 0.0)
        early_s = due - time.monotonic()
        if early_s > 0:
            time.sleep(min(early_s, timeout_s))
        if early_s > timeout_s:
            return False
        self._last, self._last_due = frame, due
        return True

    def _pause_s(self, last: Frame, frame: Frame) -> float:
        if self._settings.rate_hz is not None:
            return (frame.number - last.number) / self._settings.rate_hz
        if self._settings.pace == "fast":
            return 0.0
        return min(max(0.0, _seconds(frame) - _seconds(last)), self._settings.longest_pause_s)


def _seconds(frame: Frame) -> float:
    """When the (first) frame of a message was taken; 0 where nothing says so."""
    for value, factor in ((frame.timestamp, 1.0), (frame.acquisition_timestamp, 1e-9)):
        if isinstance(value, tuple):
            return value[0] * factor
        if isinstance(value, int | float):
            return value * factor
    return 0.0
