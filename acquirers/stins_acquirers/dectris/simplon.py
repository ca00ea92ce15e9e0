"""SIMPLON's HTTP interface: reads and sets keys and gives commands, each with its method, body and time-out.

Source: DECTRIS SIMPLON API reference 1.8. `http://<DCU>/<module>/api/<version>/<task>/<key>`.
"""

from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import msgspec

from stins.daemon.connection import NoHttpError

from ..backend import BackendError, HardwareError
from .connections import Connections, NoConnectionError
from .parameter import Parameter

__all__ = ["NoAnswerError", "Simplon", "SimplonError"]

#: The newest first; an EIGER 1 with its old server has the other.
_VERSIONS = ("1.8.0", "1.6.0")
#: What a DCU's web server answers while the service behind it starts.
_AWAY = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
_STARTING = "does its service start just now? Wait, then arm again; if that does not help, restart the service"


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
        self._connections = Connections(self.url)
        self.version = ""

    # -- keys -----------------------------------------------------------------------------------

    def find_version(self, step: str) -> str:
        """The version that the DCU speaks: it is asked, and where it doesn't know the question, tried.

        Whatever else may be there is only read from.
        """
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
                self._state(step)
            except SimplonError as error:
                # A service that still starts may know nothing yet: it is asked again.
                self.version = ""
                if error.status != HTTPStatus.NOT_FOUND:
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
            if error.status == HTTPStatus.NOT_FOUND:
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
            if error.status == HTTPStatus.NOT_FOUND:
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
        return self._state(step)

    def _state(self, step: str) -> str:
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
        self._connections.interrupt()

    def close(self) -> None:
        """Closes the connections, and asks nothing any more. Closing twice does no harm."""
        self._connections.close()

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
        # Without a value there is no body at all: that is how a command is given.
        content = msgspec.json.encode(body) if body is not None else None if method == "GET" else b""
        try:
            status, answer = self._connections.request(method, path, content, timeout_s)
        except NoConnectionError as error:
            raise self._no_answer(step, what, str(error).rstrip(".")) from None
        except TimeoutError:
            problem = (
                f"no answer within {timeout_s:g} s; it hangs, or has too much to do: look at it, restart its service"
            )
            raise self._no_answer(step, what, problem, remedy="") from None
        except NoHttpError as error:
            raise self._no_answer(step, what, str(error), "is this a detector's DCU?") from None
        except OSError as error:
            told = str(error).rstrip(".") or type(error).__name__
            remedy = "was it restarted or switched off, or the network to it cut? Look after it, then arm again"
            raise self._no_answer(step, what, f"the connection broke off ({told})", remedy) from None
        if 200 <= status < 300:
            return answer
        told = " ".join(answer.decode("utf-8", "replace").split())[:300]
        hint = f"; expected {expected}" if expected else ""
        problem = f"{what}: HTTP {status}: {told or 'without a reason'}{hint}"
        if status >= 500:
            remedy = _STARTING if status in _AWAY else "look at it, restart its service"
            raise NoAnswerError(f"DCU at {self.url}: {step}: {problem}; {remedy}", status)
        raise self._error(step, problem, status)

    def _error(self, step: str, problem: str, status: int = 0) -> SimplonError:
        return SimplonError(f"DCU at {self.url}: {step}: {problem}", status)

    def _no_answer(
        self, step: str, what: str, problem: str, remedy: str = "is it switched on, and is this its address?"
    ) -> NoAnswerError:
        return NoAnswerError(f"DCU at {self.url}: {step}: {what}: {problem}" + (f"; {remedy}" if remedy else ""))
