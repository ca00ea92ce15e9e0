"""How fast a series is recorded, from what is pushed of it."""

import time
from collections.abc import Callable

from stins.control import AcquirerState

from .snapshot import Snapshot

__all__ = ["Rate"]


class Rate:
    """Frames per second of the present series, or of the last one: a listener for `Controller.subscribe`.

    Counted from when the series was first seen to acquire to the last frame that was flushed. None where that took no
    time, and for a series that was over before anybody looked.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._series: str | None = None
        self._began: float | None = None
        self._before = self._written = 0
        self.frames_per_s: float | None = None

    def __call__(self, snapshot: Snapshot) -> None:
        """Takes what is known now."""
        acquirer, series = snapshot.acquirer, snapshot.recorder.series if snapshot.recorder else None
        if acquirer is None or series is None or series.series_id is None:
            return
        if series.series_id != self._series:
            self._series, self._began, self.frames_per_s = series.series_id, None, None
            self._before = self._written = series.written
        now = self._clock()
        if self._began is None and acquirer.state is AcquirerState.ACQUIRING and acquirer.series_id == self._series:
            self._began, self._before = now, series.written
        if self._began is not None and series.written > self._written and now > self._began:
            self.frames_per_s = (series.written - self._before) / (now - self._began)
        self._written = series.written
