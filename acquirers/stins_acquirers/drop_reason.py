"""Why a detector did not give frames, as its backend says."""

import time

from .backend import KnowsLosses

__all__ = ["DropReason"]

#: The backend may have to ask its detector: while ever more is lost, it is not asked more often.
_AGAIN_S = 1.0


class DropReason:
    """The backend's own words for what is lost of a series; "" where it has none: then it was not the detector."""

    def __init__(self, backend: KnowsLosses | None) -> None:
        self._backend = backend
        self._told, self._asked = 0, 0.0
        self.text = ""

    def forget(self) -> None:
        """Another series begins."""
        self._told, self._asked, self.text = 0, 0.0, ""

    def ask(self, *, quickly: bool = False) -> str:
        """What the backend says now; `quickly` as for `KnowsLosses.why_lost`.

        It knows nothing any more behind an abort: what it said before stays `text`.
        """
        why = self._backend.why_lost(quickly=quickly) if self._backend is not None else ""
        self.text, self._asked = why or self.text, time.monotonic()
        return why

    def look(self, lost: int, *, now: bool = False) -> bool:
        """Asks if more frames are lost than when that was done last; whether `text` has changed.

        `now`: however short ago that was, and however long it takes; else frames may be waiting.
        """
        before = self.text
        if lost > self._told and (now or not before or time.monotonic() - self._asked > _AGAIN_S):
            self._told = lost
            self.ask(quickly=not now)
        return self.text != before
