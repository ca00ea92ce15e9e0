"""The supervisor: HTTP control and status; starts the writer, watches it, starts it again when it dies."""

import logging
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from uuid import uuid4

import msgspec

from stins.control import PrepareRequest, Preview, RecorderState, RecorderStatus, SeriesState
from stins.daemon import StatusBoard

from .config import RecorderConfig
from .errors import RecorderError
from .link import Answer, Link, Order, OrderKind, WriterStatus
from .preview import PreviewReader

__all__ = ["Supervisor"]

log = logging.getLogger(__name__)

_START_DEADLINE_S = 30.0
_ORDER_DEADLINE_S = 5.0
_EXIT_DEADLINE_S = 10.0
_SILENCE_S = 3.0
#: Before a writer that died is started again. It doubles while writers die, up to the longest: one that cannot live
#: must not fill log and machine. A series that ends, or a life of so many seconds, shows that it can.
_RESTART_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
_HEALTHY_S = 30.0
_POLL_S = 0.25


class Supervisor:
    """Holds the recorder's status and passes orders on to the writer.

    Commands may come from any thread; each raises `RecorderError` with what is wrong.
    """

    def __init__(self, config: RecorderConfig) -> None:
        self._config = config
        self._orders = 0
        self._answers: dict[int, queue.SimpleQueue[Answer]] = {}
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._started = self._heard = 0.0
        self._pause_s = _RESTART_PAUSE_S
        self._silent = False
        # Why the writer before this one died: FAULT until somebody has seen it (/reset, /prepare) or a series begins.
        self._death = ""
        self.board = StatusBoard(
            RecorderStatus(
                name=config.name,
                state=RecorderState.IDLE,
                boot_id=uuid4().hex,
                pid=os.getpid(),
                sources=tuple(config.sources),
                root=str(config.roots[0]),
                roots=tuple(map(str, config.roots)),
            )
        )
        self._preview_of: tuple[str | None, Preview | None] = (None, None)
        self._preview = PreviewReader(self._previewed)

    # -- commands, from any thread --------------------------------------------------------------

    def prepare(self, request: PrepareRequest) -> RecorderStatus:
        """Checks path and room for a series to come."""
        return self._order("prepare", request)

    def stop_series(self, _request: None = None) -> RecorderStatus:
        """Ends the open series as incomplete."""
        return self._order("stop")

    def reset(self, _request: None = None) -> RecorderStatus:
        """Leaves FAULT."""
        self._death = ""
        return self._order("reset")

    def stop(self) -> None:
        """Lets `run` end."""
        self._stopping.set()

    def _order(self, what: OrderKind, prepare: PrepareRequest | None = None) -> RecorderStatus:
        answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        with self._lock:
            if self._link is None:
                raise RecorderError(
                    f"{self._config.name}: {what}: the writer is being started again; try in {self._pause_s + 1:g} s"
                )
            self._orders += 1
            number = self._orders
            self._answers[number] = answers
            self._link.send(Order(number=number, what=what, prepare=prepare))
        try:
            answer = answers.get(timeout=_ORDER_DEADLINE_S)
        except queue.Empty:
            raise RecorderError(
                f"{self._config.name}: {what}: the writer did not answer within {_ORDER_DEADLINE_S:g} s; "
                "it may hang in a call to the file system"
            ) from None
        finally:
            self._answers.pop(number, None)
        if answer.error:
            raise RecorderError(f"{self._config.name}: {what}: {answer.error}")
        return self.board.status

    # -- the writer -----------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the writer; returns once it has reported.

        Raises:
            RecorderError: it ended at once, or did not report in time.
        """
        self._spawn()
        deadline = time.monotonic() + _START_DEADLINE_S
        while self.board.status.live is None:
            if not self._listen() or time.monotonic() > deadline:
                raise RecorderError(
                    f"{self._config.name}: the writer did not start within {_START_DEADLINE_S:g} s; see its "
                    "messages above"
                )

    def run(self) -> None:
        """Until `stop`: status in, and a new writer when this one dies."""
        while not self._stopping.is_set():
            if not self._listen():
                self._bury()
                if not self._stopping.wait(self._pause_s):
                    self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
                    self._spawn()
            elif not self._silent and time.monotonic() - self._heard > _SILENCE_S:
                self._silent = True
                self._fault(f"the writer has not answered for {_SILENCE_S:g} s; it may hang in a file system call")

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            level = logging.getLevelName(log.getEffectiveLevel())
            command = [sys.executable, "-m", "stins_recorder.writer", str(theirs.fileno()), level]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        first = {"config": self._config.model_dump(mode="json"), "preview": self._preview.endpoint}
        ours.sendall(msgspec.json.encode(first) + b"\n")
        self._started = time.monotonic()
        self._heard = self._started + _START_DEADLINE_S - _SILENCE_S
        with self._lock:
            self._link = Link(ours)

    def _listen(self) -> bool:
        """Reads what the writer says for a moment; False once it has gone."""
        link = self._link
        if link is None:
            return False
        if select.select([link], [], [], _POLL_S)[0]:
            for line in link.receive():
                self._heard, self._silent = time.monotonic(), False
                if isinstance(line, WriterStatus):
                    self._status(line)
                elif isinstance(line, Answer) and line.number in self._answers:
                    self._answers[line.number].put(line)
        return not link.closed

    def _status(self, status: WriterStatus) -> None:
        if status.series is not None or status.state is not RecorderState.IDLE:
            self._death = ""
        if status.series is not None and status.series.state is not SeriesState.OPEN:
            self._pause_s = _RESTART_PAUSE_S
        self._publish(
            state=RecorderState.FAULT if self._death else status.state,
            reason=self._death or status.reason,
            live=status.live,
            free_bytes=status.free_bytes,
            prepared=status.prepared,
            series=status.series or self.board.status.series,
            notes=status.notes,
            writer_pid=self._process.pid if self._process else None,
        )

    def _bury(self) -> None:
        """The writer is gone: say so, with the reason; its series has failed."""
        with self._lock:
            link, self._link = self._link, None
        process = self._process
        if link is None or process is None:
            return
        link.close()
        code = self._end_of(process)
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        if time.monotonic() - self._started > _HEALTHY_S:
            self._pause_s = _RESTART_PAUSE_S
        self._death = f"the writer (process {process.pid}) died: {how}; it is started again in {self._pause_s:g} s"
        series = self.board.status.series
        if series is not None and series.state is SeriesState.OPEN:
            series = msgspec.structs.replace(series, state=SeriesState.FAILED, reason=self._death)
        self._fault(self._death, series=series)

    def _fault(self, reason: str, **changes: object) -> None:
        log.error("%s: %s", self._config.name, reason)
        self._publish(state=RecorderState.FAULT, reason=reason, **changes)

    def _previewed(self, series_id: str | None, preview: Preview) -> None:
        self._preview_of = (series_id, preview)
        self._publish()

    def _publish(self, **changes: object) -> None:
        with self._lock:
            # Inside the lock: a preview published beside a status would put the older account back.
            status = msgspec.structs.replace(self.board.status, **changes)
            # A preview may overtake the account of its series, and must not outlive it.
            series_id, preview = self._preview_of
            fits = status.series is not None and status.series.series_id == series_id
            self.board.publish(msgspec.structs.replace(status, preview=preview if fits else None))

    def shut_down(self) -> None:
        """The writer closes its file and ends; one that doesn't is killed. Doing it twice does no harm."""
        if self._link is not None:
            self._link.send(Order(number=0, what="exit"))
        if self._process is not None:
            self._end_of(self._process)
        if self._link is not None:
            self._link.close()
        self._preview.close()

    def _end_of(self, process: subprocess.Popen[bytes]) -> int:
        """The exit status; a process that doesn't end is killed."""
        try:
            return process.wait(_EXIT_DEADLINE_S)
        except subprocess.TimeoutExpired:
            log.warning("%s: the writer did not end within %g s and is killed", self._config.name, _EXIT_DEADLINE_S)
            process.kill()
            return process.wait()
