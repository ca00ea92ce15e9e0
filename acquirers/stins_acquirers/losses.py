"""What a detector itself did not give of a series: how many frames, and why, as its backend says."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from .backend import Backend, Frame, KnowsLosses

__all__ = ["DetectorLosses"]

log = logging.getLogger(__name__)

T = TypeVar("T")
Spans = tuple[tuple[int, int], ...]


class DetectorLosses:
    """Counts what the frames name and what the backend knows beside it; `why` are the backend's own words, "" where it
    has none.

    None of this is worth a frame: what fails is logged, and done without.
    """

    def __init__(self, name: str, backend: Backend) -> None:
        self._name = name
        # Seen once: it takes 0.1 ms, which each turn of the loop would have to wait.
        self._backend = backend if isinstance(backend, KnowsLosses) else None
        self._open = False
        self._named = 0
        self._failed: set[str] = set()
        self.why = ""

    def begin(self) -> None:
        """A series begins."""
        self._open, self._named, self.why = True, 0, ""
        self._failed.clear()

    def end(self, lost: Spans) -> None:
        """It is over; its end names these."""
        self._open, self._named = False, self._named + _number(lost)

    def name(self, frames: Sequence[Frame]) -> bool:
        """Notes what these frames say; whether they name any that are lost."""
        named = sum(_number(frame.frames_dropped) for frame in frames if frame.frames_dropped)
        self._named += named
        return named > 0

    @property
    def count(self) -> int:
        """Frames of the series that the detector did not give."""
        return self._named + _number(self.unnamed)

    @property
    def unnamed(self) -> Spans:
        """Those of them that no frame has named yet."""
        if self._backend is None or not self._open:
            return ()
        return self._heard("which frames it has lost", self._backend.lost, ())

    def glance(self) -> None:
        """Hears what the backend knows without waiting: for mid-series, where frames go first."""
        if (backend := self._backend) is not None and self._open and self.count:
            self.why = self._heard("why it loses frames", lambda: backend.why_lost(quickly=True), "") or self.why

    def ask(self) -> str:
        """What the backend says now, where nothing waits: at the end, before it forgets the series by an abort.

        Behind that, `why` stays what it has said before.
        """
        said = self._heard("why it has lost frames", self._backend.why_lost, "") if self._backend is not None else ""
        self.why = said or self.why
        return said

    def _heard(self, what: str, ask: Callable[[], T], otherwise: T) -> T:
        """Its answer; it is not asked again in this series for what it has failed to say."""
        if what in self._failed:
            return otherwise
        try:
            return ask()
        except Exception:
            self._failed.add(what)
            log.exception("%s: bug in the backend: it cannot say %s; the series goes on without that", self._name, what)
            return otherwise


def _number(spans: Spans) -> int:
    return sum(last - first + 1 for first, last in spans)
