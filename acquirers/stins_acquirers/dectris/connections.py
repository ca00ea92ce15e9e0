"""Connections to a detector's HTTP server, kept open for what is asked next: httpx takes 1.3 ms of CPU for a request,
and to arm an EIGER takes some ninety.
"""

import threading
import time

from stins.daemon.connection import Address, Connection

from .dial import Dial

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
        self._asking: set[Connection | Dial] = set()
        self._idle: list[Connection] = []
        self._interrupts = 0
        self._closed = False
        self._lock = threading.Lock()

    def request(self, method: str, path: str, body: bytes | None, timeout_s: float) -> tuple[int, bytes]:
        """Status and body of the answer; the time-out is for all of it, so that a trickle has an end.

        Raises:
            NoConnectionError: see there.
            TimeoutError: the answer did not end in time.
            NoHttpError: what came is no HTTP, or too long.
            OSError: the connection broke off, or `interrupt` was called.
        """
        deadline, interrupts = time.monotonic() + timeout_s, self._interrupts
        request = method, path, body
        if (kept := self._kept()) is not None:
            try:
                return self._answer(kept, request, deadline, interrupts)
            except ConnectionError:
                # A server may close what it has answered on just as it is asked again; but a PUT it may have done.
                if method != "GET" or self._interrupts != interrupts:
                    raise
        return self._answer(self._new(deadline, interrupts), request, deadline, interrupts)

    def interrupt(self) -> None:
        """Ends what other threads wait for: they have an `OSError`. What is asked after that is asked as before."""
        with self._lock:
            self._interrupts += 1
            for asking in self._asking:
                asking.interrupt()

    def close(self) -> None:
        """Closes all, and asks nothing any more. Closing twice does no harm."""
        self._closed = True
        self.interrupt()
        while (idle := self._unused()) is not None:
            idle.close()

    def _answer(
        self, connection: Connection, request: tuple[str, str, bytes | None], deadline: float, interrupts: int
    ) -> tuple[int, bytes]:
        kept = False
        try:
            with self._lock:
                self._begin(connection, interrupts)
                connection.begin(*request)
            answer = connection.answer(deadline, _ANSWER_BYTES)
            kept = connection.reusable
        finally:
            self._done_with(connection, kept=kept)
        return answer

    def _kept(self) -> Connection | None:
        """One that is open still."""
        while (idle := self._unused()) is not None and idle.stale:
            idle.close()
        return idle

    def _new(self, deadline: float, interrupts: int) -> Connection:
        if (left_s := deadline - time.monotonic()) <= 0:
            # One that was kept has broken off just then: that there is none was never tried.
            raise TimeoutError("no answer")
        connect_s, dial = min(left_s, _CONNECT_S), Dial()
        try:
            with self._lock:
                self._begin(dial, interrupts)
            return Connection(Address.of(self._url, None), connect_s, dial.connect)
        except InterruptedError:
            raise
        except TimeoutError:
            raise NoConnectionError(f"no connection within {connect_s:.2g} s") from None
        except OSError as error:
            raise NoConnectionError(str(error)) from None
        finally:
            with self._lock:
                self._asking.discard(dial)

    def _begin(self, asking: Connection | Dial, interrupts: int) -> None:
        """Has `interrupt` reach it; raises where that was called since the request was begun. With the lock held."""
        if self._interrupts != interrupts or self._closed:
            raise InterruptedError("interrupted")
        self._asking.add(asking)

    def _unused(self) -> Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _done_with(self, connection: Connection, *, kept: bool) -> None:
        with self._lock:
            self._asking.discard(connection)
            kept = kept and not self._closed and len(self._idle) < _KEPT
            if kept:
                self._idle.append(connection)
        if not kept:
            connection.close()
