"""What becomes of a detector's processes that end by themselves: started again, and given up if that does not help."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Protocol

from stins import StinsError

__all__ = ["Supervised", "Supervision", "supervise"]

#: A process that ends more often than this within that time is not started again.
_TRIES, _WITHIN_S = 5, 300.0
_LOOK_S = 0.5


def supervise(detectors: Mapping[str, "Supervised"], say: Callable[[str], None], stop: threading.Event) -> bool:
    """Starts again what ends by itself, until `stop` or nothing is left; whether something was given up."""
    watched = [Supervision(name, detector, say) for name, detector in detectors.items()]
    while not stop.wait(_LOOK_S) and not all(each.given_up for each in watched):
        for each in watched:
            each.look()
    return any(each.lost for each in watched)


class Supervised(Protocol):
    """What is looked after: `DetectorProcesses`."""

    @property
    def addresses(self) -> Mapping[str, str]:
        """Its acquirer and its recorders, by their keys."""

    def ended(self) -> Mapping[str, str]:
        """What has ended by itself, by its key, and why."""

    def restart(self, key: str) -> None:
        """Starts one again."""

    def by_hand(self, key: str) -> str:
        """The command that starts it in another terminal."""

    def stop(self) -> None:
        """Ends all."""


class Supervision:
    """Looks after one detector; `say` is told, in a line, whatever it does."""

    def __init__(
        self,
        name: str,
        detector: Supervised,
        say: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._detector, self._say, self._clock = name, detector, say, clock
        self._deaths: dict[str, list[float]] = defaultdict(list)
        #: Recorders that are not started again, while the others go on.
        self.lost: set[str] = set()
        #: Whether nothing of the detector is left.
        self.given_up = False

    def look(self) -> None:
        """Starts again what has ended since, or gives it up."""
        if self.given_up:
            return
        for key, why in self._detector.ended().items():
            if key in self.lost:
                continue
            deaths = self._count(key)
            told = f"{why}\n  ({len(deaths)} of {_TRIES} times within {_WITHIN_S / 60:g} minutes)"
            if len(deaths) < _TRIES:
                self._say(f"{self._name}: {told}\n  {self._restart(key)}")
                continue
            self._say(f"{self._name}: {told}")
            self._give_up(key)
            if self.given_up:
                return

    def _count(self, key: str) -> list[float]:
        now = self._clock()
        self._deaths[key] = [*(then for then in self._deaths[key] if now - then < _WITHIN_S), now]
        return self._deaths[key]

    def _restart(self, key: str) -> str:
        try:
            self._detector.restart(key)
        except StinsError as error:
            return f"cannot be started again: {error}"
        return "started again"

    def _give_up(self, key: str) -> None:
        """One of several recorders alone: the others record their frames, which nobody else could."""
        self.lost.add(key)
        recorders = self._detector.addresses.keys() - {"acquirer"}
        if key in recorders and recorders - self.lost:
            self._say(
                f"{self._name}: {key} ends again and again; giving it up. The others go on with their series, and "
                f"what {key} has not written is kept for it as long as this runs. Look at its messages above; when the "
                f"cause is mended, `{self._detector.by_hand(key)}` in another terminal brings it back. A new series "
                "needs `stins up` to be started again: not before then, or those frames are lost"
            )
            return
        self.given_up = True
        self._detector.stop()
        self._say(f"{self._name}: its processes end again and again; giving it up. Look at its messages above")
