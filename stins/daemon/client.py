"""The other end of `server`: calls with a deadline, and a watch on the pushed status."""

import threading
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import httpx
import msgspec

from ..errors import RemoteError

__all__ = ["DaemonClient", "Watch"]

S = TypeVar("S", bound=msgspec.Struct)

#: Heartbeats come every second; three missed ones mean that the daemon does not answer.
SILENCE_S = 3.0
_RETRY_S = 0.25


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

    def status(self, timeout_s: float = 2.0) -> S:
        """The daemon's state now."""
        return self._decoder.decode(self._call("GET", "/status", None, "status", timeout_s))

    def post(
        self,
        path: str,
        request: msgspec.Struct | Mapping[str, object] | None = None,
        *,
        step: str = "",
        timeout_s: float = 5.0,
    ) -> S:
        """Gives a command and returns the status after it."""
        body = msgspec.json.encode(request) if request is not None else b"{}"
        return self._decoder.decode(self._call("POST", path, body, step or path.strip("/"), timeout_s))

    def get(self, path: str, *, step: str = "", timeout_s: float = 5.0) -> bytes:
        """A document's bytes."""
        return self._call("GET", path, None, step or path.strip("/"), timeout_s)

    def watch(self, changed: Callable[[S], None], lost: Callable[[str], None]) -> "Watch[S]":
        """Calls `changed` with each pushed status and `lost` (with the reason) when the daemon falls silent."""
        return Watch(self, changed, lost)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def _call(self, method: str, path: str, body: bytes | None, step: str, timeout_s: float) -> bytes:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            reply = self._http.request(method, path, content=body, headers=headers, timeout=timeout_s)
        except httpx.TimeoutException:
            raise self._error(
                step, f"no answer within {timeout_s:g} s; is the process stopped or overloaded?"
            ) from None
        except httpx.HTTPError as error:
            raise self._error(step, f"{error}; is the process running? (stins status)") from None
        if reply.is_success:
            return reply.content
        raise self._error(step, _refusal(reply))

    def _error(self, step: str, problem: str) -> RemoteError:
        return RemoteError(self.name, step, self.url, problem)


class Watch(Generic[S]):
    """A thread that reads the daemon's pushed status and connects again when it is lost."""

    def __init__(self, client: DaemonClient[S], changed: Callable[[S], None], lost: Callable[[str], None]) -> None:
        self._client = client
        self._changed = changed
        self._lost = lost
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{client.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread, at the latest with the next heartbeat. Closing twice does no harm."""
        self._closed.set()
        self._thread.join(SILENCE_S + 2)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._read()
            except (httpx.HTTPError, msgspec.DecodeError) as error:
                if not self._closed.is_set():
                    self._lost(self._why(error))
            self._closed.wait(_RETRY_S)

    def _read(self) -> None:
        timeout = httpx.Timeout(2.0, read=SILENCE_S)
        with self._client._http.stream("GET", "/events", timeout=timeout) as reply:
            reply.raise_for_status()
            for line in reply.iter_lines():
                if self._closed.is_set():
                    return
                if line.startswith("data: "):
                    self._changed(self._client._decoder.decode(line[6:]))
        self._lost(f"{self._client.name}: ended its status stream at {self._client.url}")

    def _why(self, error: Exception) -> str:
        where = f"{self._client.name}: status at {self._client.url}"
        if isinstance(error, httpx.TimeoutException):
            return f"{where}: no heartbeat for {SILENCE_S:g} s; is the process stopped or overloaded?"
        return f"{where}: {error}; is the process running?"


def _refusal(reply: httpx.Response) -> str:
    try:
        return str(msgspec.json.decode(reply.content)["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"HTTP {reply.status_code}"
