"""When a writer that died is started again, and when its series is given up. No I/O."""

import msgspec

__all__ = ["Restarts", "Verdict"]

#: The first restart is at once; then the pause doubles, up to the longest: a writer that cannot live must not fill log
#: and machine.
_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
#: A life of so many seconds shows that a writer can live.
_HEALTHY_S = 30.0
#: Deaths in a row without a frame more than before, until the series is given up; and those of them while going on
#: with its file.
_TRIES, _TRIES_TO_RESUME = 5, 3


class Verdict(msgspec.Struct, frozen=True):
    """How long to wait, and whether to give the open series up."""

    pause_s: float
    give_up: bool


class Restarts:
    """Counts the deaths since something was achieved last; `total` counts all."""

    def __init__(self) -> None:
        self.total = 0
        self._deaths = 0
        self._deaths_resuming = 0
        self._began = 0.0
        self._achieved: object = None

    def begun(self, now: float) -> None:
        """A writer was started."""
        self._began = now

    def died(self, now: float, *, achieved: object, resuming: bool) -> Verdict:
        """The writer died; `achieved` is something that changes whenever a series gets further."""
        if achieved != self._achieved or now - self._began >= _HEALTHY_S:
            self._deaths = self._deaths_resuming = 0
        self._achieved = achieved
        self.total += 1
        self._deaths += 1
        self._deaths_resuming += resuming
        pause = 0.0 if self._deaths == 1 else min(_PAUSE_S * 2 ** (self._deaths - 2), _LONGEST_PAUSE_S)
        return Verdict(pause, self._deaths >= _TRIES or self._deaths_resuming >= _TRIES_TO_RESUME)
