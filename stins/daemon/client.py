"""The other end of `server`: calls with a deadline, and a watch on the pushed status."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Generic, TypeVar

import httpx
import msgspec

from ..errors import RemoteError

__all__ = ["DaemonClient", "Watch"]

log = logging.getLogger(__name__)

S = TypeVar("S", bound=msgspec.Struct)

#: Heartbeats come every second; three missed ones mean that the daemon does not answer.
SILENCE_S = 3.0
_RETRY_S = 0.25


def _plain(value: object) -> object:
    """Numbers of numpy, which plans make their positions of, as those of Python."""
    as_plain = getattr(value, "tolist", None)
    if as_plain is None:
        raise TypeError(f"got {value!r}, expected what JSON has")
    return as_plain()


_JSON = msgspec.json.Encoder(enc_hook=_plain)


class DaemonClient(Generic[S]):
    """Talks to the daemon `name` at `url`, whose status is a `status_type`.

    Every call raises `RemoteError`, which names the daemon, the step and the endpoint.
    """

    def __init__(self, name: str, url: str, status_type: type[S], token: str | None = None) -> None:
        self.name = name
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # A proxy of the environment has no business between two processes of one beamline.
        self._http = httpx.Client(base_url=self.url, headers=headers, trust_env=False)
        self._decoder = msgspec.json.Decoder(status_type)
        self._watches: set[Watch[S]] = set()

    def status(self, timeout_s: float = 2.0) -> S:
        """The daemon's state now."""
        return self._understood("status", self._call("GET", "/status", None, "status", timeout_s))

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
        return self._understood(step, self._call("POST", path, body, step, timeout_s))

    def get(self, path: str, *, step: str = "", timeout_s: float = 5.0) -> bytes:
        """A document's bytes."""
        return self._call("GET", path, None, step or path.strip("/"), timeout_s)

    def watch(self, changed: Callable[[S], None], lost: Callable[[str], None]) -> "Watch[S]":
        """Calls `changed` with each pushed status and `lost` (with the reason) when the daemon falls silent."""
        watch = Watch(self, changed, lost)
        self._watches.add(watch)
        return watch

    def close(self) -> None:
        """Ends the watches and closes the connections. Closing twice does no harm."""
        for watch in tuple(self._watches):
            watch.close()
        self._http.close()

    def _call(self, method: str, path: str, body: bytes | None, step: str, timeout_s: float) -> bytes:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        request = self._http.build_request(method, path, content=body, headers=headers, timeout=timeout_s)
        try:
            status, content = self._exchange(request, time.monotonic() + timeout_s)
        except httpx.TimeoutException:
            raise self._error(
                step, f"no answer within {timeout_s:g} s", "is the process stopped or overloaded?"
            ) from None
        except httpx.HTTPError as error:
            raise self._error(step, str(error), "is the process running? (stins status)") from None
        if httpx.codes.is_success(status):
            return content
        raise self._error(step, _refusal(status, content))

    def _exchange(self, request: httpx.Request, deadline: float) -> tuple[int, bytes]:
        """Status and body; httpx' own time-out is for each read, so that a trickle would never end."""
        reply = self._http.send(request, stream=True)
        try:
            content = bytearray()
            for chunk in reply.iter_bytes():
                content += chunk
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout("the answer did not end")
            return reply.status_code, bytes(content)
        finally:
            reply.close()

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
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch-{client.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread. Closing twice does no harm."""
        self._closed.set()
        reading = self._socket
        if reading is not None:
            # Wakes the thread, which else would sleep until the next heartbeat.
            with suppress(OSError):
                reading.shutdown(socket.SHUT_RDWR)
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
        timeout = httpx.Timeout(2.0, read=SILENCE_S)
        with self._client._http.stream("GET", "/events", timeout=timeout) as reply:
            reply.raise_for_status()
            self._socket = reply.extensions["network_stream"].get_extra_info("socket")
            try:
                for line in reply.iter_lines():
                    if self._closed.is_set():
                        return
                    if line.startswith("data: "):
                        self._tell(self._client._decoder.decode(line[6:]))
            finally:
                # The connection may serve a call next.
                self._socket = None
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
        if isinstance(error, httpx.TimeoutException):
            return f"{where}: no heartbeat for {SILENCE_S:g} s; is the process stopped or overloaded?"
        if isinstance(error, httpx.HTTPError):
            return f"{where}: {error}; is the process running?"
        return f"{where}: {error}; is this the right endpoint?"


def _refusal(status: int, content: bytes) -> str:
    try:
        return str(msgspec.json.decode(content)["error"])
    except (msgspec.DecodeError, ValueError, KeyError, TypeError, RecursionError):
        return f"HTTP {status}"
