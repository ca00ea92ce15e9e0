"""The other end of `server`: calls with a deadline, and a watch on the pushed status."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Generic, TypeAlias, TypeVar

import msgspec

from ..errors import RemoteError, StinsError
from .connection import Address, Connection, NoHttpError

__all__ = ["DaemonClient", "Watch"]

log = logging.getLogger(__name__)

S = TypeVar("S", bound=msgspec.Struct)

#: Heartbeats come every second; three missed ones mean that the daemon does not answer.
SILENCE_S = 3.0
_RETRY_S, _CONNECT_S = 0.25, 2.0
#: A status is some KiB.
_MOST_LINE_BYTES = 1 << 22
#: Of an answer that says why there is none; of one that never ends, that is enough.
_REFUSAL_PARTS = 16
#: Connections kept open for commands to come: as many as are given at the same time.
_KEPT = 4


def _plain(value: object) -> object:
    """Numbers of numpy, which plans make their positions of, as those of Python."""
    as_plain = getattr(value, "tolist", None)
    if as_plain is None:
        raise TypeError(f"got {value!r}, expected what JSON has")
    return as_plain()


_JSON = msgspec.json.Encoder(enc_hook=_plain)

#: Method, path and body.
_Request: TypeAlias = tuple[str, str, bytes | None]


class DaemonClient(Generic[S]):
    """Talks to the daemon `name` at `url`, whose status is a `status_type`.

    Every call raises `RemoteError`, which names the daemon, the step and the endpoint.
    """

    def __init__(self, name: str, url: str, status_type: type[S], token: str | None = None) -> None:
        self.name = name
        self.url = url.rstrip("/")
        self._token = token
        self._idle: deque[Connection] = deque()
        self._closed = False
        self._decoder = msgspec.json.Decoder(status_type)
        self._watches: set[Watch[S]] = set()

    def status(self, timeout_s: float = 2.0) -> S:
        """The daemon's state now."""
        return self._understood("status", self._call(("GET", "/status", None), "status", timeout_s))

    def post(
        self,
        path: str,
        request: msgspec.Struct | Mapping[str, object] | None = None,
        *,
        step: str = "",
        timeout_s: float = 5.0,
    ) -> S:
        """Gives a command and returns the status after it."""
        body = _JSON.encode(request) if request is not None else b"{}"
        step = step or path.strip("/")
        return self._understood(step, self._call(("POST", path, body), step, timeout_s))

    def begin(self, path: str, request: msgspec.Struct, *, step: str = "") -> Callable[[float], S] | None:
        """Gives a command without waiting for anything; what is returned waits so many seconds for the status after it.

        It has to be called, from any thread. None: no connection is open, and nothing was sent.
        """
        command, step = ("POST", path, _JSON.encode(request)), step or path.strip("/")
        connection = self._unused()
        if connection is None:
            return None
        try:
            connection.begin(*command)
        except OSError:
            connection.close()
            return None
        return lambda timeout_s: self._understood(step, self._call(command, step, timeout_s, connection))

    def get(self, path: str, *, step: str = "", timeout_s: float = 5.0) -> bytes:
        """A document's bytes."""
        return self._call(("GET", path, None), step or path.strip("/"), timeout_s)

    def watch(self, changed: Callable[[S], None], lost: Callable[[str], None]) -> "Watch[S]":
        """Calls `changed` with each pushed status and `lost` (with the reason) when the daemon falls silent."""
        watch = Watch(self, changed, lost)
        self._watches.add(watch)
        return watch

    def close(self) -> None:
        """Ends the watches and closes the connections. Closing twice does no harm."""
        for watch in tuple(self._watches):
            watch.close()
        self._closed = True
        self._close_idle()

    def connect(self, timeout_s: float) -> Connection:
        """A connection of its own; raises `OSError`."""
        return Connection(Address.of(self.url, self._token), timeout_s)

    def _call(self, request: _Request, step: str, timeout_s: float, begun: Connection | None = None) -> bytes:
        try:
            status, content = self._exchange(request, time.monotonic() + timeout_s, begun)
        except TimeoutError:
            raise self._error(
                step, f"no answer within {timeout_s:g} s", "is the process stopped or overloaded?"
            ) from None
        except NoHttpError as error:
            raise self._error(step, str(error), "is this the right endpoint?") from None
        except OSError as error:
            raise self._error(step, str(error), "is the process running? (stins status)") from None
        if 200 <= status < 300:
            return content
        raise self._error(step, _refusal(status, content))

    def _exchange(self, request: _Request, deadline: float, begun: Connection | None) -> tuple[int, bytes]:
        """The answer; `begun` is a connection that the request was sent on already."""
        connection = begun or self._unused()
        if connection is not None:
            try:
                return self._asked(connection, None if begun else request, deadline)
            except ConnectionError:
                if request[0] != "GET":
                    raise  # it may have been carried out: given again, it might be twice
                # The daemon that it led to has gone; maybe another is there.
        return self._asked(self.connect(max(deadline - time.monotonic(), 0.001)), request, deadline)

    def _asked(self, connection: Connection, request: _Request | None, deadline: float) -> tuple[int, bytes]:
        try:
            if request is not None:
                connection.begin(*request)
            answer = connection.answer(deadline)
        except BaseException:
            connection.close()
            raise
        self._give_back(connection)
        return answer

    def _unused(self) -> Connection | None:
        """One that is open still."""
        while (connection := self._popped()) is not None and connection.stale:
            connection.close()
        return connection

    def _give_back(self, connection: Connection) -> None:
        if not connection.reusable or self._closed or len(self._idle) >= _KEPT:
            connection.close()
            return
        self._idle.append(connection)
        if self._closed:  # just now
            self._close_idle()

    def _close_idle(self) -> None:
        while (connection := self._popped()) is not None:
            connection.close()

    def _popped(self) -> Connection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _understood(self, step: str, raw: bytes) -> S:
        try:
            return self._decoder.decode(raw)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise self._error(step, f"got {raw[:80]!r}: {error}", "is this the right endpoint?") from None

    def _error(self, step: str, problem: str, remedy: str = "") -> RemoteError:
        return RemoteError(self.name, step, self.url, problem, remedy=remedy)


class Watch(Generic[S]):
    """A thread that reads the daemon's pushed status and connects again when it is lost.

    It outlives an error in `changed`, which is logged and told to `lost`, and one in `lost`, which is logged.
    """

    def __init__(self, client: DaemonClient[S], changed: Callable[[S], None], lost: Callable[[str], None]) -> None:
        self._client = client
        self._changed = changed
        self._lost = lost
        self._closed = threading.Event()
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch-{client.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread. Closing twice does no harm."""
        self._closed.set()
        if (connection := self._connection) is not None:
            # Wakes the thread, which else would sleep until the next heartbeat.
            connection.interrupt()
        self._client._watches.discard(self)
        if threading.current_thread() is not self._thread:
            self._thread.join(SILENCE_S + 2)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._read()
            except Exception as error:  # a watch that died would leave its owner with an old status for ever
                if not self._closed.is_set():
                    self._report(self._why(error))
            self._closed.wait(_RETRY_S)

    def _read(self) -> None:
        with self._client.connect(_CONNECT_S) as connection:
            self._connection = connection
            reply, parts = connection.stream("/events", SILENCE_S)
            if reply.status != 200:
                raise StinsError(_refusal(reply.status, b"".join(islice(parts, _REFUSAL_PARTS))))
            for line in _lines(parts):
                if self._closed.is_set():
                    return
                if line.startswith(b"data: "):
                    self._tell(self._client._decoder.decode(line[6:]))
        if not self._closed.is_set():
            self._report(f"{self._client.name}: ended its status stream at {self._client.url}")

    def _tell(self, status: S) -> None:
        try:
            self._changed(status)
        except Exception as error:
            log.exception("%s: a status could not be handled", self._client.name)
            self._report(f"{self._client.name}: a status from {self._client.url} could not be handled: {error!r}")

    def _report(self, why: str) -> None:
        try:
            self._lost(why)
        except Exception:
            log.exception("%s: a loss could not be handled: %s", self._client.name, why)

    def _why(self, error: Exception) -> str:
        where = f"{self._client.name}: status at {self._client.url}"
        if isinstance(error, TimeoutError):
            return f"{where}: no heartbeat for {SILENCE_S:g} s; is the process stopped or overloaded?"
        if isinstance(error, OSError) and not isinstance(error, NoHttpError):
            return f"{where}: {error}; is the process running?"
        return f"{where}: {error}; is this the right endpoint?"


def _lines(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Those that have ended; a byte is looked at once, in however small parts a line comes."""
    rest = bytearray()
    for part in parts:
        end, *lines = part.split(b"\n")
        rest += end
        for line in lines:
            yield bytes(rest)
            rest = bytearray(line)
        if len(rest) > _MOST_LINE_BYTES:
            raise StinsError(f"got a line of more than {_MOST_LINE_BYTES} bytes, expected a status")


def _refusal(status: int, content: bytes) -> str:
    try:
        return str(msgspec.json.decode(content)["error"])
    except (msgspec.DecodeError, ValueError, KeyError, TypeError, RecursionError):
        return f"HTTP {status}"
