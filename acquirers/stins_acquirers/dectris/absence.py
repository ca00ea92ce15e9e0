"""A DCU that was not there when the acquirer started: looked for every few seconds, and set up once it answers."""

import time
from collections.abc import Callable
from typing import Final

from stins import StinsError

from .errand import Errand
from .settings import EigerSettings
from .simplon import NoAnswerError, Simplon

__all__ = ["Absence"]

_LOOK_S: Final = 2.0
#: All that a thread waits for is interrupted, but for a name that is looked up: nobody waits for that.
_CLOSE_S: Final = 0.5


class Absence:
    """`problem` says why it can't be used. Threads look for it every `look_s`, over connections of their own, and call
    `set_up`, which raises `NoAnswerError` where it does not answer all the same.

    `error`, once it is over, is why it could not be set up.
    """

    def __init__(
        self, settings: EigerSettings, problem: str, set_up: Callable[[], object], *, look_s: float = _LOOK_S
    ) -> None:
        self.problem = problem
        self.error: StinsError | None = None
        self._simplon = Simplon(settings.host, settings.http_port, settings.answer_timeout_s)
        self._set_up = set_up
        self._errand: Errand | None = None
        self._found = False
        self._look_s = look_s
        self._next = time.monotonic() + look_s

    def go_on(self) -> bool:
        """Begins what is due, without waiting for it; whether all is over."""
        if self._errand is None:
            if time.monotonic() > self._next:
                self._errand = Errand("eiger-absence", lambda: self._simplon.find_version("start"))
            return False
        if not self._errand.wait(0.0):
            return False
        error, self._errand = self._errand.error, None
        if error is not None and (not self._found or isinstance(error, NoAnswerError)):
            self._look_again(str(error))
            return False
        if not self._found:
            self._found, self._errand = True, Errand("eiger-set-up", self._set_up)
            return False
        self.error = error
        return True

    def settled(self, timeout_s: float) -> bool:
        """Whether nothing sets it up, or within that time no longer does."""
        return not self._found or self._errand is None or self._errand.wait(timeout_s)

    def close(self) -> None:
        """Looks no longer; what `set_up` waits for must be interrupted. Closing twice does no harm."""
        self._simplon.close()
        if self._errand is not None:
            self._errand.wait(_CLOSE_S)

    def _look_again(self, problem: str) -> None:
        self.problem, self._found, self._next = problem, False, time.monotonic() + self._look_s
