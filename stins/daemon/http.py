"""HTTP/1.1 for a daemon: a thread for each connection, in which a command waits as long as it takes.

A daemon sleeps most of the time, and what a command or a push then costs is how much code has to come back into the
processor's caches: with uvicorn and Starlette 0.4 ms for a command and 0.25 for a push, a third of that here.
"""

import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import unquote

import msgspec

from .heads import closes, natural
from .push import Pushed

__all__ = ["Answer", "HttpServer", "Request"]

log = logging.getLogger(__name__)

#: How long a connection is kept without a request, and how long a request may take to come.
_IDLE_S, _REQUEST_S = 5.0, 10.0
_MOST_HEAD_BYTES, _MOST_BODY_BYTES = 1 << 16, 1 << 20
#: Each has a thread. More than a few mean that somebody forgets to close them.
_MOST_CONNECTIONS = 256
_JOIN_S, _DRAIN_S, _PAUSE_S = 1.0, 1.0, 0.1
_FIRST_LINE = re.compile(r"([A-Z]+) (\S+) HTTP/1\.([01])")
#: A name with a space around it, or a line that goes on with the one before, is read by others in another way.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Which of two counts, each reader would say differently.
_SINGLE = frozenset({"host", "content-length", "transfer-encoding", "authorization"})


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked; `headers` by their names in small letters, `path` without what follows a question mark."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    keep: bool


class Answer(msgspec.Struct, frozen=True):
    """What is answered."""

    status: int
    content: bytes
    media_type: str = "application/json"


class _RefusedError(Exception):
    """What came is no request that can be answered as one."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.answer = Answer(status, msgspec.json.encode({"error": text}))


class HttpServer:
    """Answers at `listening` from threads of its own; `answer` is called in them, and may wait."""

    def __init__(self, name: str, listening: socket.socket, answer: Callable[[Request], Answer | Pushed]) -> None:
        self._name = name
        self._listening = listening
        self._answer = answer
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._stopping = self._refusing = False
        self._thread = threading.Thread(target=self._accept, name=f"{name}-http", daemon=True)

    def start(self) -> None:
        """From now on requests are answered."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the connections; an answer that is under way has a moment. Stopping twice does no harm."""
        self._stopping = True
        # Wakes who waits in accept.
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        with self._lock:
            connections = dict(self._connections)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        deadline = time.monotonic() + _JOIN_S
        for connection, thread in connections.items():
            thread.join(max(0.0, deadline - time.monotonic()))
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)
        self._listening.close()

    def _accept(self) -> None:
        while not self._stopping:
            try:
                connection, _ = self._listening.accept()
            except OSError as error:
                if self._stopping:
                    return
                # No descriptor is left, say: it is others' turn to give some back.
                self._refuses(f"cannot take an HTTP connection: {error}")
                time.sleep(_PAUSE_S)
                continue
            self._welcome(connection)

    def _welcome(self, connection: socket.socket) -> None:
        thread = threading.Thread(target=self._serve, args=(connection,), name=f"{self._name}-http", daemon=True)
        with self._lock:
            full = len(self._connections) >= _MOST_CONNECTIONS
            if not full:
                self._connections[connection] = thread
        if (why := f"there are {_MOST_CONNECTIONS} already" if full else self._started(thread)) is None:
            self._refusing = False
            return
        with self._lock:
            self._connections.pop(connection, None)
        connection.close()
        self._refuses(f"an HTTP connection is refused: {why}")

    def _started(self, thread: threading.Thread) -> str | None:
        """Why it cannot be started, if it cannot."""
        try:
            thread.start()
        except RuntimeError as error:  # Python's, where the system has no room for another one
            return str(error)
        return None

    def _refuses(self, why: str) -> None:
        """Says so once, until one is taken again: whoever is refused tries again."""
        if not self._refusing:
            self._refusing = True
            log.warning("%s: %s", self._name, why)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                incoming = _Incoming(connection)
                while not self._stopping and self._exchange(connection, incoming):
                    pass
        except OSError as error:
            log.debug("%s: an HTTP connection ended: %s", self._name, error)
        except Exception:  # what it was to push, say; the connection ends, and whoever had it hears so
            log.exception("%s: an HTTP connection ended: a bug", self._name)
        finally:
            with self._lock:
                self._connections.pop(connection, None)

    def _exchange(self, connection: socket.socket, incoming: "_Incoming") -> bool:
        """Answers one request; whether another may follow."""
        try:
            request = incoming.request()
        except _RefusedError as error:
            _send(connection, error.answer, close=True)
            incoming.drain()
            return False
        if request is None:
            return False
        try:
            answer = self._answer(request)
        except Exception as error:
            log.exception("%s: %s %s: a bug", self._name, request.method, request.path)
            answer = Answer(500, msgspec.json.encode({"error": f"a bug: {error!r}"}))
        if isinstance(answer, Pushed):
            answer.to(connection, head_only=request.method == "HEAD")
            return False
        _send(connection, answer, close=not request.keep, head_only=request.method == "HEAD")
        return request.keep


def _send(connection: socket.socket, answer: Answer, *, close: bool, head_only: bool = False) -> None:
    head = (
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n"
        f"Content-Type: {answer.media_type}\r\nContent-Length: {len(answer.content)}\r\n"
        + ("Connection: close\r\n\r\n" if close else "\r\n")
    )
    connection.settimeout(_REQUEST_S)
    connection.sendall(head.encode() + (b"" if head_only else answer.content))


class _Incoming:
    """Reads requests from a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = bytearray()

    def request(self) -> Request | None:
        """The next one; None where none comes any more, or none in time.

        Raises:
            _RefusedError: it is none, or too long.
        """
        received = self._received
        if not received and not self._receive(time.monotonic() + _IDLE_S):
            return None
        deadline = time.monotonic() + _REQUEST_S
        while (end := received.find(b"\r\n\r\n")) < 0:
            if len(received) > _MOST_HEAD_BYTES:
                raise _RefusedError(431, f"got more than {_MOST_HEAD_BYTES} bytes of headers")
            if not self._receive(deadline):
                return None
        first, *lines = bytes(received[:end]).decode("latin-1").split("\r\n")
        del received[: end + 4]
        found = _FIRST_LINE.fullmatch(first)
        if found is None:
            raise _RefusedError(400, f"got {first[:40]!r}, expected a request in HTTP/1.1")
        headers = _headers(lines)
        body = self._body(found[2], headers)
        keep = found[3] == "1" and not closes(headers)
        path = unquote(found[2].partition("?")[0])
        return None if body is None else Request(method=found[1], path=path, headers=headers, body=body, keep=keep)

    def _body(self, path: str, headers: Mapping[str, str]) -> bytes | None:
        if "transfer-encoding" in headers:
            raise _RefusedError(411, f"{path}: got a body in chunks, expected its Content-Length")
        length = headers.get("content-length", "0")
        if (size := natural(length)) is None:
            raise _RefusedError(400, f"{path}: got Content-Length {length[:40]!r}, expected a number")
        if size > _MOST_BODY_BYTES:
            raise _RefusedError(413, f"{path}: got more than {_MOST_BODY_BYTES} bytes, expected a short request")
        if headers.get("expect", "").lower() == "100-continue":
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        deadline = time.monotonic() + _REQUEST_S
        while len(self._received) < size:
            if not self._receive(deadline):
                return None
        body = bytes(self._received[:size])
        del self._received[:size]
        return body

    def _receive(self, deadline: float) -> bool:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return False
        self._connection.settimeout(left_s)
        try:
            part = self._connection.recv(1 << 16)
        except TimeoutError:
            return False
        self._received += part
        return bool(part)

    def drain(self) -> None:
        """Takes what still comes: who sends it would else lose the answer with the connection."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + _DRAIN_S
            while self._receive(deadline):
                self._received.clear()


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        # No pattern for all of it: on 60 kB of blanks one can go back and forth for minutes, with every thread waiting.
        name, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(name) or "\n" in line or "\r" in line:
            raise _RefusedError(400, f"got the header {line[:40]!r}, expected NAME: VALUE")
        name = name.lower()
        if name in headers and name in _SINGLE:
            raise _RefusedError(400, f"got two headers {name}, expected one")
        headers[name] = value.strip(" \t")
    return headers
