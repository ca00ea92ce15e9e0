"""How many images of a series the DCU's stream has dropped, as far as the DCU has said so."""

import logging
import time
from collections.abc import Callable

from ..backend import BackendError
from .losses import Told
from .watch import Watch

__all__ = ["Drops"]

log = logging.getLogger(__name__)


class Drops:
    """Keeps the DCU's last word on it, from whichever of the two it comes: `watch`, which looks all the time, or `ask`,
    which waits for an answer.
    """

    def __init__(self, watch: Watch, ask: Callable[[], int | None]) -> None:
        self._watch, self._ask = watch, ask
        #: When this was asked, and the answer; what the DCU said before was of another series.
        self._asked, self._answer = time.monotonic(), 0

    def told(self, since: float) -> Told:
        """The DCU's last word; late unless it was asked at `since` (monotonic time) or behind it."""
        asked, answer, seen = self._asked, self._answer, self._watch.seen
        if seen is not None and seen.dropped is not None and seen.at >= asked:
            asked, answer = seen.at, seen.dropped
        return Told(answer, late=asked < since)

    def ask(self) -> Told:
        """The same, once the DCU has answered; it is not asked again where it doesn't."""
        asked = time.monotonic()
        try:
            answer = self._ask()
        except BackendError as error:
            log.warning("%s", error)
            answer = None
        if answer is not None:
            self._asked, self._answer = asked, answer
        return self.told(asked)
