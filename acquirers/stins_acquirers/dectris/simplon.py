"""SIMPLON's HTTP interface: reads and sets keys and gives commands, each with its method, body and time-out.

Source: DECTRIS SIMPLON API reference 1.8. `http://<DCU>/<module>/api/<version>/<task>/<key>`.
"""

import socket
import threading
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httpx
import msgspec

from ..backend import BackendError, HardwareError
from .parameter import Parameter

__all__ = ["NoAnswerError", "Simplon", "SimplonError"]

#: The newest first; an EIGER 1 with its old server has the other.
_VERSIONS = ("1.8.0", "1.6.0")
_CONNECT_S = 3.0
#: Servers close a connection that was idle for 5 s; whoever sends at that moment has no answer.
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=2.0)
#: What the DCU answers is a value or a list of names; arrays of pixels are never asked for.
_ANSWER_BYTES = 8 << 20


class SimplonError(BackendError):
    """The DCU refused or failed; `status` is HTTP's, 0 where there was none."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class NoAnswerError(SimplonError, HardwareError):
    """The DCU did not answer, not in time, or that it is not able to (HTTP 5xx)."""


class Simplon:
    """One DCU, at `host`:`port`, that has `answer_s` for an answer unless it is told otherwise.

    Every call raises `SimplonError`, which names DCU, step, key and value.

    May be used from any thread; `interrupt` ends what other threads wait for.
    """

    def __init__(self, host: str, port: int, answer_s: float) -> None:
        self.url = f"http://{host}:{port}" if ":" not in host else f"http://[{host}]:{port}"
        self.answer_s = answer_s
        # A proxy of the environment has no business between an acquirer and its detector.
        # Without encryption there is nothing to verify, and certificates take 20 ms to read.
        self._http = httpx.Client(base_url=self.url, trust_env=False, limits=_LIMITS, verify=False)  # noqa: S501
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()
        self.version = ""

    # -- keys -----------------------------------------------------------------------------------

    def find_version(self, step: str) -> str:
        """The version that the DCU speaks: it is asked, and where it doesn't know the question, tried."""
        try:
            told = self._json(step, "GET", "/detector/api/version", dict[str, Any])
        except NoAnswerError:
            raise
        except SimplonError:
            told = {}
        if told.get("value") in _VERSIONS:
            self.version = str(told["value"])
            return self.version
        for version in _VERSIONS:
            self.version = version
            try:
                self.state(step)
            except SimplonError as error:
                # A service that still starts may know nothing yet: it is asked again.
                self.version = ""
                if error.status != httpx.codes.NOT_FOUND:
                    raise
            else:
                return version
        raise SimplonError(
            f"DCU at {self.url}: {step}: it speaks none of SIMPLON {', '.join(_VERSIONS)}; is this the address of a "
            "detector's DCU?"
        )

    def keys(self, step: str, module: str = "detector") -> frozenset[str] | None:
        """The names of all configuration keys; None where the DCU can't list them."""
        try:
            found = self._json(step, "GET", self._path(module, "config/keys"), list[str] | Parameter)
        except SimplonError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return None
            raise
        return frozenset(found.value if isinstance(found, Parameter) else found)

    def get(self, step: str, key: str, module: str = "detector", task: str = "config") -> Parameter:
        """What stands under a key, and what may stand there."""
        found: Parameter = self._json(step, "GET", self._path(module, f"{task}/{key}"), Parameter)
        return found

    def find(self, step: str, key: str, module: str = "detector", task: str = "config") -> Parameter | None:
        """The same; None where this detector has no such key."""
        try:
            return self.get(step, key, module, task)
        except SimplonError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return None
            raise

    def put(self, step: str, key: str, value: Any, module: str = "detector", expected: str = "") -> tuple[str, ...]:
        """Sets a key; the names of the keys that have changed, or may have."""
        path = self._path(module, f"config/{key}")
        raw = self._call(step, "PUT", path, self.answer_s, body={"value": value}, expected=expected)
        # Some answer with nothing, or with an object: then only this key is known to have changed.
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(raw, type=tuple[str, ...])
        return (key,)

    def state(self, step: str) -> str:
        """The detector's state: na, idle, ready, initialize, configure, acquire, test or error."""
        if self.version == _VERSIONS[-1]:
            # The old server reads the hardware only when it is told to.
            self._call(step, "PUT", self._path("detector", "command/status_update"), self.answer_s)
        return str(self.get(step, "state", task="status").value)

    # -- commands -------------------------------------------------------------------------------

    def command(
        self, step: str, name: str, timeout_s: float, value: Any = None, module: str = "detector"
    ) -> int | None:
        """Gives a command and returns once it is done; the number of the series that it is about, where it says so."""
        path, body = self._path(module, f"command/{name}"), None if value is None else {"value": value}
        raw = self._call(step, "PUT", path, timeout_s, body=body)
        with suppress(msgspec.DecodeError):
            told = msgspec.json.decode(raw, type=dict[str, Any])
            # The key has a space; the reference writes it with an underscore.
            number = told.get("sequence id", told.get("sequence_id"))
            return number if isinstance(number, int) else None
        return None

    def interrupt(self) -> None:
        """Ends what other threads wait for: they raise `NoAnswerError`. What is asked after that is asked as before."""
        with self._lock:
            for connected in self._sockets:
                with suppress(OSError):
                    connected.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the connections. Closing twice does no harm."""
        self.interrupt()
        self._http.close()

    # -- HTTP -----------------------------------------------------------------------------------

    def _path(self, module: str, rest: str) -> str:
        return f"/{module}/api/{self.version}/{rest}"

    def _json(self, step: str, method: str, path: str, kind: Any) -> Any:
        raw = self._call(step, method, path, self.answer_s)
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.DecodeError as error:
            raise self._error(step, f"{method} {path}: got {raw[:80]!r}: {error}; is this a detector's DCU?") from None

    def _call(
        self,
        step: str,
        method: str,
        path: str,
        timeout_s: float,
        *,
        body: Mapping[str, Any] | None = None,
        expected: str = "",
    ) -> bytes:
        what = f"{method} {path}" + (f" = {body['value']!r}" if body else "")
        try:
            status, content = self._exchange(method, path, timeout_s, body)
        except httpx.ConnectTimeout:
            raise self._no_answer(step, what, f"no connection within {_CONNECT_S:g} s") from None
        except httpx.TimeoutException:
            problem = (
                f"no answer within {timeout_s:g} s; it hangs, or has too much to do: look at it, restart its service"
            )
            raise self._no_answer(step, what, problem, remedy="") from None
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            told = str(error).rstrip(".") or type(error).__name__
            if isinstance(error, httpx.ConnectError):
                raise self._no_answer(step, what, told) from None
            remedy = "was it restarted or switched off, or the network to it cut? Look after it, then arm again"
            raise self._no_answer(step, what, f"the connection broke off ({told})", remedy) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._no_answer(step, what, str(error) or type(error).__name__) from None
        if httpx.codes.is_success(status):
            return content
        told = " ".join(content.decode("utf-8", "replace").split())[:300]
        hint = f"; expected {expected}" if expected else ""
        problem = f"{what}: HTTP {status}: {told or 'without a reason'}{hint}"
        if httpx.codes.is_server_error(status):
            raise NoAnswerError(f"DCU at {self.url}: {step}: {problem}; look at it, restart its service", status)
        raise self._error(step, problem, status)

    def _exchange(self, method: str, path: str, timeout_s: float, body: Mapping[str, Any] | None) -> tuple[int, bytes]:
        """Status and body; httpx' own time-out is for each read, so that a trickle would never end."""
        deadline = time.monotonic() + timeout_s
        # Without a value there is no body at all: that is how a command is given.
        content = msgspec.json.encode(body) if body is not None else None
        headers = {"Content-Type": "application/json"} if body is not None else {}
        timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_S))
        request = self._http.build_request(method, path, content=content, headers=headers, timeout=timeout)
        request.extensions["trace"] = self._trace
        reply = self._http.send(request, stream=True)
        try:
            return reply.status_code, _whole(reply, deadline)
        finally:
            reply.close()

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Notes each connection once there is one, so that it can be cut."""
        if event == "connection.connect_tcp.complete":
            with self._lock:
                self._sockets.add(info["return_value"].get_extra_info("socket"))

    def _error(self, step: str, problem: str, status: int = 0) -> SimplonError:
        return SimplonError(f"DCU at {self.url}: {step}: {problem}", status)

    def _no_answer(
        self, step: str, what: str, problem: str, remedy: str = "is it switched on, and is this its address?"
    ) -> NoAnswerError:
        return NoAnswerError(f"DCU at {self.url}: {step}: {what}: {problem}" + (f"; {remedy}" if remedy else ""))


def _whole(reply: httpx.Response, deadline: float) -> bytes:
    content = bytearray()
    for chunk in reply.iter_bytes():
        content += chunk
        if time.monotonic() > deadline:
            raise httpx.ReadTimeout("the answer did not end")
        if len(content) > _ANSWER_BYTES:
            raise httpx.DecodingError(f"the answer is longer than {_ANSWER_BYTES} bytes")
    return bytes(content)
