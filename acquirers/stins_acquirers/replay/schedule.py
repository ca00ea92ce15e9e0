"""When the frames of a capture are due, counted from a trigger."""

import time

from ..backend import Frame
from .settings import ReplaySettings

__all__ = ["Schedule"]


class Schedule:
    """The first frame is due at once, the others as far behind it as they were then (or as `rate_hz` says)."""

    def __init__(self, settings: ReplaySettings) -> None:
        self._settings = settings
        self._started = time.monotonic()
        self._first: Frame | None = None

    def due(self, frame: Frame, timeout_s: float) -> bool:
        """Whether the frame's time has come, waiting at most `timeout_s` for it."""
        if self._first is None:
            self._first = frame
        early_s = self._started + self._after(self._first, frame) - time.monotonic()
        if early_s > 0:
            time.sleep(min(early_s, timeout_s))
        return early_s <= timeout_s

    def _after(self, first: Frame, frame: Frame) -> float:
        if self._settings.rate_hz is not None:
            return (frame.number - first.number) / self._settings.rate_hz
        if self._settings.pace == "fast":
            return 0.0
        return _seconds(frame) - _seconds(first)


def _seconds(frame: Frame) -> float:
    """When the (first) frame of a message was taken; 0 where nothing says so."""
    for value, factor in ((frame.timestamp, 1.0), (frame.acquisition_timestamp, 1e-9)):
        if isinstance(value, tuple):
            return value[0] * factor
        if isinstance(value, int | float):
            return value * factor
    return 0.0
