"""A DCU that was not there when the acquirer started: looked for every few seconds, until it answers."""

import time
from typing import Final

from .errand import Errand
from .settings import EigerSettings
from .simplon import Simplon

__all__ = ["Absence"]

_LOOK_S: Final = 2.0
_CLOSE_S: Final = 5.0


class Absence:
    """`problem` says why it can't be used. It is asked in a thread over connections of its own: nobody waits for it."""

    def __init__(self, settings: EigerSettings, problem: str) -> None:
        self.problem = problem
        self._simplon = Simplon(settings.host, settings.http_port, settings.answer_timeout_s)
        self._errand: Errand | None = None
        self._next = time.monotonic() + _LOOK_S

    def over(self) -> bool:
        """Whether it has just answered; asked often."""
        if self._errand is None:
            if time.monotonic() > self._next:
                self._errand = Errand("eiger-absence", lambda: self._simplon.find_version("start"))
            return False
        if not self._errand.wait(0.0):
            return False
        error, self._errand, self._next = self._errand.error, None, time.monotonic() + _LOOK_S
        if error is not None:
            self.problem = str(error)
        return error is None

    def close(self) -> None:
        """Looks no longer."""
        self._simplon.close()
        if self._errand is not None:
            self._errand.wait(_CLOSE_S)
