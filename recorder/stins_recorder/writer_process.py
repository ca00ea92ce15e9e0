"""The supervisor's end of a writer process."""

import logging
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress

from .link import Begin, Line, Link
from .watchdog import WatchPage

__all__ = ["WriterProcess"]

log = logging.getLogger(__name__)

_EXIT_DEADLINE_S = 10.0


class WriterProcess:
    """A writer that waits for its order; `begin` gives it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.page = WatchPage()
        level = logging.getLevelName(log.getEffectiveLevel())
        with theirs:
            inherited = (theirs.fileno(), self.page.descriptor)
            command = [sys.executable, "-m", "stins_recorder.standby", *map(str, inherited), level]
            self._process = subprocess.Popen(command, pass_fds=inherited, stdin=subprocess.DEVNULL)
        self.link = Link(ours)
        self.pid = self._process.pid

    def begin(self, order: Begin) -> None:
        """From now on it is the writer."""
        self.link.send(order)

    def listen(self, timeout_s: float) -> list[Line]:
        """What it says within that time; `link.closed` once it has gone."""
        return self.link.receive() if select.select([self.link], [], [], timeout_s)[0] else []

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL; one that hangs in the kernel ends when its call returns."""
        with suppress(ProcessLookupError):
            self._process.kill()

    def end(self) -> str:
        """Closes the link, on which a writer ends, and says how it ended; one that doesn't end is killed."""
        self.link.close()
        try:
            code = self._process.wait(_EXIT_DEADLINE_S)
        except subprocess.TimeoutExpired:
            log.warning("the writer (process %d) did not end within %g s and is killed", self.pid, _EXIT_DEADLINE_S)
            self._process.kill()
            code = self._process.wait()
        self.page.close()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
