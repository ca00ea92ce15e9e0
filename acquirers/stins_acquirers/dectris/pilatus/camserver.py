"""The dialogue with camserver: one command at a time, each with its deadline, over one connection."""

import logging
import select
import socket
import time
from collections import deque
from contextlib import suppress
from typing import Final

from ...backend import BackendError, HardwareError
from .plan import STARTS
from .replies import END_OF_SERIES, Reply, ReplyBuffer

__all__ = ["INTERRUPTS", "Camserver", "RefusedError"]

log = logging.getLogger(__name__)

#: What ends a series: the first also the exposure that is under way, where camserver knows it, the second any series.
INTERRUPTS: Final = ("camcmd k", "K")
#: A command that changes nothing, and the number of its answers, which no other has; an old camserver does not know it.
_MARK: Final = "version"
_MARK_CODE: Final = 24
_CHUNK: Final = 1 << 14
_UNASKED_KEPT: Final = 64
_RUNNING: Final = "is camserver running there, and is the port right?"
#: It was there: the port is right.
_ENDED: Final = "was camserver ended, or its computer switched off? Start it, then arm again"
#: A detector's computer that is switched off or cut off says nothing: it is asked after 10 s, and given up after 25.
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))


class RefusedError(BackendError):
    """Camserver answered a command with ERR; `unknown`: it has no such command."""

    def __init__(self, text: str, *, unknown: bool) -> None:
        super().__init__(text)
        self.unknown = unknown


class Camserver:
    """Connects when it is first needed, and again after the connection was lost.

    Who doesn't answer in time is cut off: his answer, come late, would be taken for that to the next command.
    """

    def __init__(self, host: str, port: int, answer_timeout_s: float) -> None:
        self.address = f"{host}:{port}"
        self._place = (host, port)
        self._answer_timeout_s = answer_timeout_s
        self._socket: socket.socket | None = None
        self._buffer = ReplyBuffer()
        self._answers: deque[Reply] = deque()
        self._unasked: deque[Reply] = deque(maxlen=_UNASKED_KEPT)
        self._pending: tuple[str, float, float] | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._socket is not None

    @property
    def pending(self) -> str:
        """The command whose answer is still awaited, else empty."""
        return self._pending[0] if self._pending else ""

    def connect(self, step: str) -> bool:
        """Connects if there is no connection, or none any more; whether it is a new one. Raises `HardwareError`."""
        with suppress(HardwareError):
            if self._socket is not None:
                self._receive(step, 0.0)
        if self._socket is not None:
            return False
        try:
            self._socket = socket.create_connection(self._place, self._answer_timeout_s)
        except OSError as error:
            problem = f"no connection within {self._answer_timeout_s:g} s" if isinstance(error, TimeoutError) else error
            raise self._fault(step, f"{problem}; {_RUNNING}") from error
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for option, value in _KEEPALIVE:
            self._socket.setsockopt(socket.IPPROTO_TCP, option, value)
        self._buffer, self._pending = ReplyBuffer(), None
        self._answers.clear()
        self._unasked.clear()
        return True

    # -- commands -------------------------------------------------------------------------------

    def command(self, step: str, command: str, timeout_s: float | None = None) -> Reply:
        """Sends a command and gives its answer.

        Raises:
            RefusedError: it was answered with ERR.
            HardwareError: it was not answered, or there is no connection.
        """
        self.begin(step, command, self._answer_timeout_s if timeout_s is None else timeout_s)
        while (reply := self.answer(step, self._answer_timeout_s)) is None:
            pass
        return reply

    def begin(self, step: str, command: str, timeout_s: float) -> None:
        """Sends a command that has so long to be answered; `answer` gives the answer."""
        if self._pending is not None:
            raise BackendError(
                f"camserver at {self.address}: {step}: {self.pending!r} is not answered yet; try again when it is"
            )
        self._answers.clear()
        self._send(step, command)
        self._pending = (command, time.monotonic(), timeout_s)

    def answer(self, step: str, timeout_s: float) -> Reply | None:
        """The answer to the command that was begun, if it comes within `timeout_s`; raises as `command` does."""
        if self._pending is None:
            return None
        command, began, limit_s = self._pending
        until = min(time.monotonic() + timeout_s, began + limit_s)
        while not self._answers:
            # Once also without any time: what is there already is heard.
            left = until - time.monotonic()
            self._receive(step, left)
            if left <= 0:
                break
        if not self._answers:
            if time.monotonic() < began + limit_s:
                return None
            self._cut_off()
            raise self._fault(step, f"{command!r}: no answer within {limit_s:g} s; look at its window, or restart it")
        self._pending = None
        reply = self._answers.popleft()
        if not reply.good:
            raise RefusedError(
                f"camserver at {self.address}: {step}: {command!r}: got {str(reply)!r}, expected OK",
                unknown="unrecognized" in reply.text.lower(),
            )
        return reply

    def waited_s(self) -> float:
        """For how long the answer has been awaited."""
        return time.monotonic() - self._pending[1] if self._pending else 0.0

    # -- what it says unasked -------------------------------------------------------------------

    def hear(self, step: str, timeout_s: float) -> Reply | None:
        """What it says unasked, waiting at most `timeout_s` for it; raises `HardwareError` if it is gone."""
        if not self._unasked:
            self._receive(step, timeout_s)
        return self._unasked.popleft() if self._unasked else None

    def forget(self) -> None:
        """What it has said unasked up to now is of no interest."""
        self._unasked.clear()

    def interrupt(self, step: str, word: str) -> None:
        """Sends a word that camserver takes at any time, and that is answered unasked, by several replies or none."""
        self._send(step, word)

    def end_series(self, step: str, wait_s: float) -> None:
        """Ends whatever series is under way, of whomever, and leaves all that is said about it behind."""
        for word in INTERRUPTS:
            self.interrupt(step, word)
            until = time.monotonic() + wait_s
            while not self._unasked and not self._answers and (left := until - time.monotonic()) > 0:
                self._receive(step, left)
        self.synchronize(step)

    def synchronize(self, step: str) -> None:
        """Whatever was said up to now is left behind: up to the answer to a command with answers of its own kind."""
        self._send(step, _MARK)
        until = time.monotonic() + self._answer_timeout_s
        while (left := until - time.monotonic()) > 0:
            self._receive(step, left)
            while self._answers:
                reply = self._answers.popleft()
                if reply.code == _MARK_CODE or _MARK in reply.text:
                    self._unasked.clear()
                    return
        self._cut_off()
        raise self._fault(step, f"{_MARK!r}: no answer within {self._answer_timeout_s:g} s; restart camserver")

    # -- the connection -------------------------------------------------------------------------

    def _send(self, step: str, command: str) -> None:
        if self._socket is None:
            raise self._fault(step, f"the connection is gone; {_ENDED}")
        try:
            self._socket.sendall(command.encode() + b"\n")
        except OSError as error:
            self._cut_off()
            raise self._fault(step, f"{command!r} could not be sent: {error}; {_ENDED}") from error

    def _receive(self, step: str, timeout_s: float) -> None:
        if self._socket is None:
            raise self._fault(step, f"the connection is gone; {_ENDED}")
        readable, _, _ = select.select([self._socket], [], [], max(0.0, timeout_s))
        if not readable:
            return
        try:
            received = self._socket.recv(_CHUNK)
        except OSError as error:
            self._cut_off()
            raise self._fault(step, f"the connection broke: {error}; {_ENDED}") from error
        if not received:
            self._cut_off()
            raise self._fault(step, f"it has closed the connection; {_ENDED}")
        try:
            replies = self._buffer.feed(received)
        except BackendError as error:
            self._cut_off()
            raise self._fault(step, f"{error}; does something else listen there?") from error
        for reply in replies:
            log.debug("camserver at %s: %s", self.address, reply)
            (self._unasked if self._is_unasked(reply) else self._answers).append(reply)

    def _is_unasked(self, reply: Reply) -> bool:
        """A start that is refused has the number of the end of a series."""
        starts = self.pending.partition(" ")[0] in STARTS
        return reply.unasked and not (starts and reply.code == END_OF_SERIES and not reply.good)

    def _fault(self, step: str, problem: object) -> HardwareError:
        return HardwareError(f"camserver at {self.address}: {step}: {problem}")

    def _cut_off(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
        self._socket, self._pending = None, None

    def close(self) -> None:
        """Closes the connection. Twice does no harm."""
        self._cut_off()
