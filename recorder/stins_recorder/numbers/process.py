"""The supervisor's end of the process that computes numbers."""

import logging
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

import msgspec

from ..errors import RecorderError
from .messages import Done, Work

__all__ = ["END_LIMIT_S", "NumbersProcess"]

log = logging.getLogger(__name__)

_RECEIVE_BYTES = 1 << 16
#: How long it may take to go by itself, and once it was killed.
_GOES_S, _KILLED_S = 0.5, 2.0
END_LIMIT_S = _GOES_S + _KILLED_S
#: It has the time that everybody else leaves.
_NICE = 19


class NumbersProcess:
    """Takes one order at a time.

    Raises:
        OSError: the system cannot start another process.
    """

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        level = logging.getLevelName(log.getEffectiveLevel())
        command = [sys.executable, "-m", __package__, str(theirs.fileno()), level]
        try:
            with theirs:
                self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        except BaseException:
            self._socket.close()
            raise
        self.pid = self._process.pid
        _give_way(self.pid)

    def ask(self, work: Work, patience_s: float) -> Done:
        """Its answer.

        Raises:
            RecorderError: it died, or does not answer; then it must be ended.
        """
        answer = b""
        try:
            # Another thread may have ended it just now: then this fails, too.
            self._socket.settimeout(patience_s)
            self._socket.sendall(msgspec.json.encode(work) + b"\n")
            while not answer.endswith(b"\n"):
                received = self._socket.recv(_RECEIVE_BYTES)
                if not received:
                    raise ConnectionError
                answer += received
        except TimeoutError:
            raise RecorderError(f"process {self.pid} did not answer within {patience_s:g} s") from None
        except OSError:
            raise RecorderError(f"process {self.pid} died: {self.end()}") from None
        return msgspec.json.decode(answer, type=Done)

    def end(self, patience_s: float = _GOES_S) -> str:
        """Ends it, by force if it does not go within `patience_s`; says how it ended. Twice does no harm.

        It has nothing that a kill could spoil. One that the kernel does not let go of is not waited for.
        """
        self._socket.close()
        try:
            code = self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            try:
                code = self._process.wait(_KILLED_S)
            except subprocess.TimeoutExpired:
                return "not at all, not even killed: it hangs in the kernel"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def _give_way(pid: int) -> None:
    """From its start on: loading its libraries takes a core for 0.7 s."""
    # It may have ended already.
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, _NICE)
        if hasattr(os, "SCHED_BATCH"):
            # When it wakes it interrupts nobody.
            os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
