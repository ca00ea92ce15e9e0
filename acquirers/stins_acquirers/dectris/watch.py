"""Looks at the detector's status while a series runs: what the stream doesn't tell, and that the DCU is still there."""

import logging
import threading
import time
from collections.abc import Callable

import msgspec

from stins import StinsError

__all__ = ["Seen", "Watch"]

log = logging.getLogger(__name__)


class Seen(msgspec.Struct, frozen=True):
    """What the DCU said: its state, how many images its stream has dropped, the states of high voltage and stream.

    `at` is when it was asked, in seconds of the monotonic clock. "", or None, where it has none.
    """

    at: float
    state: str
    dropped: int | None = None
    high_voltage: str = ""
    stream: str = ""


class Watch:
    """Asks every `period_s` in a thread of its own, by `look`, which may block and raise."""

    def __init__(self, look: Callable[[], Seen], period_s: float) -> None:
        self._look = look
        self._period_s = period_s
        self._closed = threading.Event()
        self._due = threading.Event()
        self.seen: Seen | None = None
        self.problem = ""
        self._heard = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="eiger-watch", daemon=True)
        self._thread.start()

    @property
    def silent_s(self) -> float:
        """For how long the DCU has not answered: 0 while its last answer was one."""
        return time.monotonic() - self._heard if self.problem else 0.0

    def hurry(self) -> None:
        """Has it look at once instead of when it is time."""
        self._due.set()

    def close(self) -> None:
        """Ends the thread; what it waits for must be interrupted. Closing twice does no harm."""
        self._closed.set()
        self._due.set()

    def join(self, timeout_s: float) -> bool:
        """Whether the thread has ended within that time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self.seen = self._look()
                self.problem, self._heard = "", time.monotonic()
            except StinsError as error:
                self.problem = str(error)
            except Exception as error:  # a bug must not pass for a DCU that is well
                log.exception("%s", self._thread.name)
                self.problem = f"{self._thread.name}: bug: {error!r}"
            self._due.wait(self._period_s)
            self._due.clear()
