"""A call that blocks for long, in a thread of its own."""

import logging
import threading
import time
from collections.abc import Callable, Iterable

from stins import StinsError

__all__ = ["Errand", "in_time"]

log = logging.getLogger(__name__)


class Errand:
    """Runs `run` in a thread called `name`; what it raises is kept in `error`."""

    def __init__(self, name: str, run: Callable[[], object]) -> None:
        self._run = run
        self._done = threading.Event()
        self.error: StinsError | None = None
        self._thread = threading.Thread(target=self._go, name=name, daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether it is over."""
        return self._done.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Whether it is over within that time; its thread has ended then."""
        if self._done.wait(timeout_s):
            self._thread.join()
        return self.done

    def _go(self) -> None:
        try:
            self._run()
        except StinsError as error:
            self.error = error
        except Exception as error:  # a bug must reach whoever reads, not end unseen in a thread
            log.exception("%s", self._thread.name)
            self.error = StinsError(f"{self._thread.name}: bug: {error!r}")
        finally:
            self._done.set()


def in_time(waits: Iterable[Callable[[float], bool]], timeout_s: float) -> bool:
    """Whether all of these, one after the other, are over within that time together."""
    deadline = time.monotonic() + timeout_s
    return all(wait(max(0.0, deadline - time.monotonic())) for wait in waits)
