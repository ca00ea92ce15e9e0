"""Connections to a detector's HTTP server, kept open for what is asked next: httpx takes 1.3 ms of CPU for a request,
and to arm an EIGER takes some ninety.
"""

import threading
import time

from stins.daemon.connection import Address, Connection

__all__ = ["Connections", "NoConnectionError"]

_CONNECT_S = 3.0
#: By the acquirer's loop, by what waits for a trigger, and by who disarms beside it.
_KEPT = 4
#: What is answered is a value or a list of names; arrays of pixels are never asked for.
_ANSWER_BYTES = 8 << 20


class NoConnectionError(OSError):
    """There is no connection, and none could be made."""


class Connections:
    """Those to one server. May be used from any thread; `interrupt` ends what other threads wait for.

    No proxy of the environment is obeyed: it has no business between an acquirer and its detector.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._open: set[Connection] = set()
        self._idle: list[Connection] = []
        self._closed = False
        self._lock = threading.Lock()

    def request(self, method: str, path: str, body: bytes | None, timeout_s: float) -> tuple[int, bytes]:
        """Status and body of the answer; the time-out is for all of it, so that a trickle has an end.

        Raises:
            NoConnectionError: see there.
            TimeoutError: the answer did not end in time.
            NoHttpError: what came is no HTTP, or too long.
            OSError: the connection broke off.
        """
        deadline, kept = time.monotonic() + timeout_s, False
        connection = self._connection(min(timeout_s, _CONNECT_S))
        try:
            connection.begin(method, path, body)
            answer = connection.answer(deadline, _ANSWER_BYTES)
            kept = connection.reusable
        finally:
            self._done_with(connection, kept=kept)
        return answer

    def interrupt(self) -> None:
        """Ends what other threads wait for: they have an `OSError`. What is asked after that is asked as before."""
        with self._lock:
            for connection in self._open:
                connection.interrupt()

    def close(self) -> None:
        """Closes all. Closing twice does no harm."""
        self._closed = True
        self.interrupt()
        while (idle := self._unused()) is not None:
            self._drop(idle)

    def _connection(self, connect_s: float) -> Connection:
        """One that is open still, or a new one."""
        while (idle := self._unused()) is not None:
            if not idle.stale:
                return idle
            self._drop(idle)
        try:
            connection = Connection(Address.of(self._url, None), connect_s)
        except TimeoutError:
            raise NoConnectionError(f"no connection within {connect_s:g} s") from None
        except (OSError, UnicodeError) as error:  # the latter: it cannot be the name of a host
            raise NoConnectionError(str(error)) from None
        with self._lock:
            self._open.add(connection)
        return connection

    def _unused(self) -> Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _done_with(self, connection: Connection, *, kept: bool) -> None:
        with self._lock:
            kept = kept and not self._closed and len(self._idle) < _KEPT
            if kept:
                self._idle.append(connection)
        if not kept:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        with self._lock:
            self._open.discard(connection)
        connection.close()
