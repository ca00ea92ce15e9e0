"""The pushed status: server-sent events, written by whoever publishes, so that no other thread has to wake for it."""

import logging
import select
import socket
import threading
from typing import Any

import msgspec

from .board import StatusBoard

__all__ = ["Pushed", "StatusEvents"]

log = logging.getLogger(__name__)

_HEARTBEAT_S = 1.0
#: Whoever takes nothing for so long is let go.
_PATIENCE_S = 5.0
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-store\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


class StatusEvents:
    """The status of `board` as an event, for all who listen: for each of them a thread asks, and whoever publishes.

    One that cannot be said is a bug, and logged once: whoever is let go because of it comes again and again.
    """

    def __init__(self, board: StatusBoard[Any], encoder: msgspec.json.Encoder) -> None:
        self._board = board
        self._encoder = encoder
        self._lock = threading.Lock()
        self._logged = False

    def latest(self) -> bytes:
        """That of the status now; nothing where it cannot be said, which must not end the daemon's loop."""
        try:
            event = b"data: " + self._encoder.encode(self._board.status) + b"\n\n"
        except Exception:
            with self._lock:
                known, self._logged = self._logged, True
            if not known:
                log.exception("a status cannot be pushed: a bug")
            return b""
        if self._logged:
            with self._lock:
                self._logged = False
        return b"%x\r\n%b\r\n" % (len(event), event)


class Pushed:
    """The status of `board` at each change and once a second, for one who listens.

    One that reads slowly misses some, and never the last one. A status that cannot be said ends it.
    """

    def __init__(self, board: StatusBoard[Any], events: StatusEvents) -> None:
        self._board = board
        self._events = events
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._unsent = b""
        self._gone = False
        self._connection: socket.socket

    def to(self, connection: socket.socket, *, head_only: bool = False) -> None:
        """Pushes until the board is closed; raises `OSError` when the other end has gone, or takes nothing."""
        connection.setblocking(False)
        self._connection, self._unsent = connection, _HEAD
        if head_only:
            self._send_all()
            return
        self._changed.set()
        forget = self._board.listen(self._now)
        try:
            while not self._board.closed and not self._gone:
                self._changed.wait(_HEARTBEAT_S)
                self._changed.clear()
                with self._lock:
                    self._send_all()
                    self._unsent = self._event()
                    self._send_all()
        finally:
            forget()
        with self._lock:
            self._unsent += b"0\r\n\r\n"
            self._send_all()

    def _now(self) -> None:
        """In the thread of whoever publishes: sends what fits; the rest is for the connection's own thread."""
        if not self._lock.acquire(blocking=False):
            self._changed.set()
            return
        try:
            if not self._unsent:
                self._unsent = self._event()
                self._send_some()
            if self._unsent or self._gone or self._board.closed:
                self._changed.set()
        except OSError:
            self._gone = True
            self._changed.set()
        finally:
            self._lock.release()

    def _event(self) -> bytes:
        """The status; nothing where it cannot be said: who listens is let go."""
        event = self._events.latest()
        self._gone = self._gone or not event
        return event

    def _send_some(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[self._connection.send(self._unsent) :]
        except BlockingIOError:
            pass

    def _send_all(self) -> None:
        self._send_some()
        while self._unsent:
            # select() would take no descriptor above 1023.
            poll = select.poll()
            poll.register(self._connection, select.POLLOUT)
            if not poll.poll(_PATIENCE_S * 1000):
                raise TimeoutError("it takes nothing")
            self._send_some()
