"""HTTP of the simulator: SIMPLON's addresses, what goes wrong with them, and the test hook under /simulator."""

import asyncio
import socket
import threading
import time
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stins import StinsError
from stins.daemon import ConfigError

from .faults import Fault, Faults
from .hook import Hook
from .simplon import Simplon
from .wire import Reply
from .wire import Request as Asked

__all__ = ["Server"]

_START_DEADLINE_S: Final = 10.0
_STOP_DEADLINE_S: Final = 1.5
_MOST_TIMEOUT_MS: Final = 600_000
_STEP_S: Final = 0.05
#: A mask of 18 million pixels has 97 MB in base64.
_MOST_BODY_BYTES: Final = 128 << 20


class Server:
    """Serves from a thread of its own; `url` says where, once `start` has returned."""

    def __init__(self, host: str, port: int, simplon: Simplon, hook: Hook, faults: Faults) -> None:
        self._simplon = simplon
        self._faults = faults
        self._hook = hook
        self._socket = _listen(host, port)
        chosen_host, chosen_port = self._socket.getsockname()[:2]
        self.url = f"http://{f'[{chosen_host}]' if ':' in chosen_host else chosen_host}:{chosen_port}"
        app = Starlette(
            routes=[
                Route("/simulator/{rest:path}", self._hooked, methods=["GET", "POST", "DELETE"]),
                Route("/{rest:path}", self._simulated, methods=["GET", "PUT", "DELETE", "POST"]),
            ]
        )
        config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._serve, name="simulator-http", daemon=True)

    def start(self) -> None:
        """Returns once requests are answered."""
        self._thread.start()
        if not self._server.answers.wait(_START_DEADLINE_S):
            raise StinsError(f"the simulator's server did not start at {self.url} within {_START_DEADLINE_S:g} s")

    def stop(self) -> None:
        """Ends the thread. Stopping twice does no harm."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_STOP_DEADLINE_S)
        self._socket.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    async def _simulated(self, request: Request) -> Response:
        if "origin" in request.headers:
            return _foreign()
        if self._hook.down():
            return _bad_gateway()
        body = await _body(request)
        if body is None:
            return Response("the body is too large", 413, media_type="text/plain")
        fault = self._faults.of_request(request.method, _key(request.url.path))
        failed = await self._fail(fault, request) if fault else None
        return failed or await self._answer(request, body)

    async def _fail(self, fault: Fault, request: Request) -> Response | None:
        """What is answered, or None once the request may be answered as usual."""
        path = request.url.path
        match fault.kind:
            case "refuse":
                return Response(f"{path}: refused", 400, media_type="text/plain")
            case "http":
                return Response(f"{path}: error {fault.status}", fault.status, media_type="text/plain")
            case "silence":
                while fault in self._faults.active():
                    if self._server.should_exit or await request.is_disconnected():
                        return _bad_gateway()
                    await asyncio.sleep(_STEP_S)
            case "slow":
                deadline = time.monotonic() + fault.seconds
                while (left := deadline - time.monotonic()) > 0 and not self._server.should_exit:
                    await asyncio.sleep(min(left, _STEP_S))
        return None

    async def _answer(self, request: Request, body: bytes) -> Response:
        asked = Asked(
            method=request.method,
            path=request.url.path,
            accept=request.headers.get("accept", ""),
            content_type=request.headers.get("content-type", ""),
            body=body,
            timeout_s=_timeout_s(request),
        )
        lives = self._hook.lives
        reply = await run_in_threadpool(self._simplon.handle, asked)
        return _response(reply) if lives == self._hook.lives or _restarts(asked) else _bad_gateway()

    async def _hooked(self, request: Request) -> Response:
        if "origin" in request.headers:
            return _foreign()
        body = await _body(request) or b""
        name = request.url.path.strip("/").partition("/")[2]
        return _response(await run_in_threadpool(self._hook.handle, request.method, name, body))


class _Server(uvicorn.Server):
    """`answers` is set once it does."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answers = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answers.set()


async def _body(request: Request) -> bytes | None:
    """The whole body, or None where it is too long. Read first: whoever asks whether a client is gone loses it."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MOST_BODY_BYTES:
            return None
    return bytes(content)


def _response(reply: Reply) -> Response:
    return Response(reply.content, reply.status, media_type=reply.media_type)


def _bad_gateway() -> Response:
    return Response("Bad Gateway", 502, media_type="text/plain")


def _foreign() -> Response:
    """Anybody's web page could send requests to a port of this machine."""
    return Response("a web page may not control a detector", 403, media_type="text/plain")


def _restarts(asked: Asked) -> bool:
    return asked.path.startswith("/system/") and asked.path.endswith("/command/restart")


def _timeout_s(request: Request) -> float:
    """The query's `timeout`, in milliseconds."""
    text = request.query_params.get("timeout", "")
    return min(int(text), _MOST_TIMEOUT_MS) / 1000 if text.isdigit() else 0.0


def _key(path: str) -> str:
    """MODULE/TASK/KEY of `/MODULE/api/VERSION/TASK/KEY`."""
    steps = path.strip("/").split("/")
    return "/".join([steps[0], *steps[3:]])


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigError(f"port: cannot listen on {host}:{port}: {error.strerror}; choose another, or 0") from error
