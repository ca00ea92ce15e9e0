"""When what has gathered is written."""

__all__ = ["Pace"]

#: A burst is written when for so long no document came, and at the latest so long after its first one.
_LULL_S = 0.3
_PERIOD_S = 1.0
#: Bursts are so many times their own length apart: an embedded catalogue works in the RunEngine's process, and it may
#: have a fifth of a CPU there while a run goes on.
_REST = 4.0


class Pace:
    """Bursts of documents: when the next one is due. Times in seconds, of one clock."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._last = self._rested = 0.0

    def note(self, now: float) -> bool:
        """A document came; whether it is the first of a burst."""
        first = self._first is None
        self._first, self._last = now if self._first is None else self._first, now
        return first

    def due_in(self, now: float) -> float | None:
        """In how many seconds what has gathered is to be written; None where nothing has."""
        if self._first is None:
            return None
        return max(min(self._last + _LULL_S, self._first + _PERIOD_S), self._rested) - now

    def rested_in(self, now: float) -> float:
        """In how many seconds something else may be written."""
        return max(self._rested - now, 0.0)

    def begin(self) -> None:
        """What has gathered is being written."""
        self._first = None

    def end(self, now: float, took: float) -> None:
        """It was written, which took so long."""
        self._rested = now + _REST * took
