"""The supervisor's end of a writer process."""

import logging
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress

from stins.transport.memory import keeping_memory

from ..link import Begin, Line, Link
from ..watchdog import WatchPage

__all__ = ["WriterProcess"]

log = logging.getLogger(__name__)

_EXIT_DEADLINE_S, _KILL_DEADLINE_S = 10.0, 2.0


class WriterProcess:
    """A writer that waits for its order; `begin` gives it.

    Raises:
        OSError: the system cannot start another process.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.link = Link(ours)
        level = logging.getLevelName(log.getEffectiveLevel())
        with ExitStack() as undo, theirs:
            undo.callback(self.link.close)
            self.page = WatchPage()
            undo.callback(self.page.close)
            inherited = (theirs.fileno(), self.page.descriptor)
            command = [sys.executable, "-m", "stins_recorder.writer.standby", *map(str, inherited), level]
            self._process = subprocess.Popen(
                command, pass_fds=inherited, stdin=subprocess.DEVNULL, env=keeping_memory(os.environ)
            )
            undo.pop_all()
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

    def end(self, patience_s: float = _EXIT_DEADLINE_S) -> str:
        """Closes the link, on which a writer ends, and says how it ended; one that doesn't end is killed.

        One that the kernel doesn't let go of, in a call to a dead file system, ends some day, and is not waited for.
        """
        self.link.close()
        code = self._wait(patience_s)
        if code is None:
            log.warning("the writer (process %d) did not end within %g s and is killed", self.pid, patience_s)
            self._process.kill()
            code = self._wait(min(patience_s, _KILL_DEADLINE_S))
        self.page.close()
        if code is None:
            return "not at all, not even killed: it hangs in the kernel"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    def _wait(self, timeout_s: float) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout_s)
        return None
