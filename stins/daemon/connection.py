"""One HTTP connection to a daemon, or to a detector's own server, kept open from one request to the next.

Each point of a scan waits for a command: httpx takes 0.7 ms for one, http.client 0.25, this 0.03.
"""

import math
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

import msgspec

from .heads import closes, natural

__all__ = ["Address", "Connection", "NoHttpError", "Reply"]

_MOST_HEAD_BYTES = 1 << 16
#: The longest that a daemon has is one frame as an array; whoever sends more, or for ever, is none.
_MOST_ANSWER_BYTES = 1 << 28
_RECEIVE_BYTES = 1 << 16
#: Daemons close what they have heard nothing on for 5 s; a command must not be on its way just then.
_IDLE_S = 3.0
_HTTP = b"HTTP/1."
_PORTS = {"http": 80, "https": 443}
_Connect = Callable[[tuple[str, int], float], socket.socket]


class Address(msgspec.Struct, frozen=True):
    """Where a daemon answers, and what each request begins with."""

    host: str
    port: int
    path: str
    headers: bytes
    tls: bool

    @classmethod
    def of(cls, url: str, token: str | None) -> "Address":
        """That of a URL.

        Raises:
            NoHttpError: it is none.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS[parts.scheme]
        except (ValueError, KeyError):
            raise NoHttpError(f"got the URL {url!r}, expected http://HOST:PORT") from None
        if not parts.hostname or not parts.hostname.isprintable():
            raise NoHttpError(f"got the URL {url!r}, expected http://HOST:PORT")
        lines = [f"Host: {parts.netloc.rpartition('@')[2]}"]
        lines += [f"Authorization: Bearer {token}"] if token else []
        headers = "".join(f"{line}\r\n" for line in lines).encode()
        return cls(parts.hostname, port, parts.path.rstrip("/"), headers, parts.scheme == "https")


class NoHttpError(OSError):
    """What came is no answer in HTTP, or a longer one than can be, or the URL is none of HTTP's."""


class Reply(msgspec.Struct, frozen=True):
    """The head of an answer; `headers` by their names in small letters. `reusable`: another request may follow."""

    status: int
    headers: Mapping[str, str]
    reusable: bool


class Connection:
    """Carries one request at a time. Every wait has a limit, behind which it raises `TimeoutError`.

    Whatever else goes wrong is an `OSError`; an answer that is not HTTP is a `NoHttpError`. `connect` may be another
    that does the same.
    """

    def __init__(self, address: Address, timeout_s: float, connect: _Connect = socket.create_connection) -> None:
        self._address = address
        self._received = bytearray()
        self._unsent = memoryview(b"")
        self._socket = _connected(address, timeout_s, connect)
        # It is waited for here: with a time-out Python waits before it sends, too, and lets other threads run,
        # of which a busy one then goes first: for 0.4 ms where the RunEngine has just triggered.
        self._socket.setblocking(False)
        self._used = time.monotonic()
        self.reusable = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def stale(self) -> bool:
        """Whether the daemon has closed it, or is about to, because it has heard nothing on it."""
        return time.monotonic() - self._used > _IDLE_S or _ready(self._socket, select.POLLIN, 0)

    def begin(self, method: str, path: str, body: bytes | None) -> None:
        """Sends a request without waiting; what finds no room now is left for `answer`.

        `body` is JSON; an empty one has a length only, and None is for methods that have none.
        """
        address = self._address
        kind = b"Content-Type: application/json\r\n" if body else b""
        length = b"" if body is None else b"Content-Length: %d\r\n" % len(body)
        first = f"{method} {address.path}{path} HTTP/1.1\r\n".encode()
        self._unsent = memoryview(b"".join((first, address.headers, kind, length, b"\r\n", body or b"")))
        self._send_some()

    def answer(self, deadline: float, most_bytes: int = _MOST_ANSWER_BYTES) -> tuple[int, bytes]:
        """Status and whole body of the answer to what was begun, by `deadline` (of time.monotonic)."""
        left_s = _until(deadline)
        self._send_rest(left_s)
        reply = self._head(left_s)
        parts, size = list[bytes](), 0
        for part in self._body(reply, left_s, most_bytes):
            parts.append(part)
            size = _checked(size + len(part), most_bytes)
        self._used = time.monotonic()
        return reply.status, b"".join(parts)

    def stream(self, path: str, silence_s: float) -> tuple[Reply, Iterator[bytes]]:
        """An answer's head, and its body as it comes; `silence_s` is the longest wait for it, and pause in it."""
        left_s = _until(time.monotonic() + silence_s)
        self.begin("GET", path, None)
        self._send_rest(left_s)
        reply = self._head(left_s)
        return reply, self._body(reply, lambda: silence_s, _MOST_ANSWER_BYTES)

    def interrupt(self) -> None:
        """Ends a wait in another thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes it. Closing twice does no harm."""
        self._socket.close()

    def _send_some(self) -> int:
        """Sends what finds room; the event that the rest waits for, 0 where there is none."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except ssl.SSLWantReadError:
            return select.POLLIN
        except (BlockingIOError, ssl.SSLWantWriteError):
            return select.POLLOUT
        return 0

    def _send_rest(self, left_s: Callable[[], float]) -> None:
        while event := self._send_some():
            self._wait(event, left_s)

    def _head(self, left_s: Callable[[], float]) -> Reply:
        """That of the answer; one that only says that the answer will come is passed over."""
        self.reusable = False
        while (reply := self._next_head(left_s)).status < 200:
            _check_in_time(left_s)
        return reply

    def _next_head(self, left_s: Callable[[], float]) -> Reply:
        received = self._received
        while (end := received.find(b"\r\n\r\n")) < 0:
            if len(received) > _MOST_HEAD_BYTES:
                raise NoHttpError(f"got {bytes(received[:40])!r}, expected an answer in HTTP")
            self._receive(left_s, "the connection was closed without an answer")
            if not _HTTP.startswith(received[: len(_HTTP)]):
                # Told at once: what greets with one line, as SSH does, would be taken for who hangs, or hangs up.
                line = received[:40].partition(b"\r\n")[0].decode("latin-1")
                raise NoHttpError(f"got {line!r}, expected an answer in HTTP")
        first, *lines = bytes(received[:end]).decode("latin-1").split("\r\n")
        del received[: end + 4]
        version, _, rest = first.partition(" ")
        if not version.startswith("HTTP/1.") or (status := natural(rest[:3]) or 0) < 100:
            raise NoHttpError(f"got {first[:40]!r}, expected an answer in HTTP")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return Reply(status, headers, version == "HTTP/1.1" and not closes(headers))

    def _body(self, reply: Reply, left_s: Callable[[], float], most_bytes: int) -> Iterator[bytes]:
        """Its parts as they come; once all have, the next request may follow."""
        if "chunked" in reply.headers.get("transfer-encoding", "").lower():
            yield from self._chunks(left_s, most_bytes)
        elif (length := reply.headers.get("content-length")) is not None:
            if (size := natural(length)) is None:
                raise NoHttpError(f"got Content-Length {length[:40]!r}, expected a number")
            yield from self._exactly(_checked(size, most_bytes), left_s)
        elif reply.status not in (204, 304):
            yield from self._until_the_end(left_s)
            return
        self.reusable = reply.reusable and not self._received

    def _chunks(self, left_s: Callable[[], float], most_bytes: int) -> Iterator[bytes]:
        while size := self._chunk_size(left_s):
            yield from self._exactly(_checked(size, most_bytes), left_s)
            self._line(left_s)
            _check_in_time(left_s)
        while self._line(left_s):  # further headers, which nobody sends
            _check_in_time(left_s)

    def _chunk_size(self, left_s: Callable[[], float]) -> int:
        line = self._line(left_s)
        if (size := natural(line.decode("latin-1").partition(";")[0].strip(), 16)) is None:
            raise NoHttpError(f"got {line[:40]!r}, expected the length of a chunk")
        return size

    def _line(self, left_s: Callable[[], float]) -> bytes:
        while (end := self._received.find(b"\r\n")) < 0:
            if len(self._received) > _MOST_HEAD_BYTES:
                raise NoHttpError(f"got {bytes(self._received[:40])!r}, expected a line")
            self._receive(left_s)
        line = bytes(self._received[:end])
        del self._received[: end + 2]
        return line

    def _exactly(self, size: int, left_s: Callable[[], float]) -> Iterator[bytes]:
        while size:
            if not self._received:
                self._receive(left_s)
            part = bytes(self._received[:size])
            del self._received[: len(part)]
            size -= len(part)
            yield part

    def _until_the_end(self, left_s: Callable[[], float]) -> Iterator[bytes]:
        with suppress(_EndedError):
            while True:
                if self._received:
                    yield bytes(self._received)
                    self._received.clear()
                self._receive(left_s)

    def _receive(self, left_s: Callable[[], float], ended: str = "the connection was closed in mid-answer") -> None:
        while True:
            try:
                part = self._socket.recv(_RECEIVE_BYTES)
                break
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT, left_s)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(select.POLLIN, left_s)
        if not part:
            raise _EndedError(ended)
        self._received += part

    def _wait(self, events: int, left_s: Callable[[], float]) -> None:
        if not _ready(self._socket, events, math.ceil(_check_in_time(left_s) * 1000)):
            raise TimeoutError("no answer")


def _connected(address: Address, timeout_s: float, connect: _Connect) -> socket.socket:
    try:
        return _prepared(connect((address.host, address.port), timeout_s), address)
    except OSError:  # a certificate that is not trusted is a ValueError as well
        raise
    except ValueError as error:  # a name that no host can have
        raise NoHttpError(f"got the host {address.host!r}: {error}") from None


def _prepared(connected: socket.socket, address: Address) -> socket.socket:
    try:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address.tls:
            return ssl.create_default_context().wrap_socket(connected, server_hostname=address.host)
    except BaseException:
        connected.close()
        raise
    return connected


def _until(deadline: float) -> Callable[[], float]:
    return lambda: deadline - time.monotonic()


def _check_in_time(left_s: Callable[[], float]) -> float:
    """What is left; also one that sends without a pause has to come to an end."""
    if (left := left_s()) <= 0:
        raise TimeoutError("the answer did not end")
    return left


def _ready(connected: socket.socket, events: int, timeout_ms: int) -> bool:
    poll = select.poll()
    poll.register(connected, events)
    return bool(poll.poll(timeout_ms))


def _checked(size: int, most: int) -> int:
    if size > most:
        raise NoHttpError(f"got an answer of {size} bytes, expected {most} at most")
    return size


class _EndedError(ConnectionError):
    """The daemon has closed the connection."""
