"""HTTP control of a daemon: commands in, status out, pushed as server-sent events.

Loopback unless told otherwise; on loopback only requests that name a local host are answered (a web page cannot
rebind its name to us) and nothing with a foreign Origin changes state.
"""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from enum import Enum
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ..errors import StinsError
from .board import StatusBoard
from .config import ConfigError, HttpConfig, is_loopback
from .description import Operation, as_openapi, as_page
from .guard import Guard, refusal

__all__ = ["Command", "ControlServer", "Document", "listen", "read_token"]

_HEARTBEAT_S = 1.0
_START_DEADLINE_S = 10.0
_MOST_BODY_BYTES = 1 << 20
_JSON = msgspec.json.Encoder(enc_hook=str)
_STATUS = (
    Operation("GET", "/status", "The daemon's whole state"),
    Operation("GET", "/events", "The state, pushed at each change and once a second"),
    Operation("GET", "/healthz", "Whether the daemon lives"),
    Operation("GET", "/readyz", "Whether the daemon can be used: 503 in FAULT"),
    Operation("GET", "/metrics", "The status' numbers, for Prometheus"),
)


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A POST: `run` gets the decoded request and returns the reply; a StinsError it raises becomes a 409.

    It may wait, in a thread of its own; a coroutine function is awaited in the server's thread, 0.1 ms sooner.
    """

    path: str
    summary: str
    request: Any = None
    run: Callable[[Any], msgspec.Struct] | Callable[[Any], Coroutine[Any, Any, msgspec.Struct]]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A GET of something that is not the status: `read` gets the path's last step, returns media type and bytes."""

    path: str
    summary: str
    read: Callable[[str], tuple[str, bytes]]


class ControlServer:
    """Serves one daemon from a thread of its own; `url` says where, once `start` has returned."""

    def __init__(
        self,
        name: str,
        config: HttpConfig,
        board: StatusBoard[Any],
        commands: Sequence[Command],
        documents: Sequence[Document] = (),
    ) -> None:
        self._name = name
        self._board = board
        token = read_token(config)
        self._operations = [
            *_STATUS,
            *(Operation("POST", command.path, command.summary, command.request) for command in commands),
            *(Operation("GET", f"{document.path}/{{which}}", document.summary) for document in documents),
        ]
        hosts = _local_hosts(config.host) if is_loopback(config.host) else None
        # FastAPI would take as long to import as all the rest of a daemon.
        app = Starlette(
            routes=[
                # They are tried in their order, and somebody waits for a command.
                *(Route(command.path, _commanded(command), methods=["POST"]) for command in commands),
                *self._own_routes(),
                *(Route(f"{document.path}/{{which}}", _documented(document)) for document in documents),
            ],
            middleware=[Middleware(Guard, hosts=hosts, token=token)],
        )
        self._socket = listen(config)
        host, port = self._socket.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        )
        self._thread = threading.Thread(target=self._serve, name=f"{name}-http", daemon=True)

    def start(self) -> None:
        """Returns once requests are answered."""
        self._thread.start()
        waited = threading.Event()
        for _ in range(int(_START_DEADLINE_S / 0.01)):
            if self._server.started or not self._thread.is_alive():
                break
            waited.wait(0.01)
        if not self._server.started:
            raise StinsError(f"the control server did not start at {self.url} within {_START_DEADLINE_S:g} s")

    def stop(self) -> None:
        """Ends the streams and the thread. Stopping twice does no harm."""
        self._board.close()
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    # -- routes ---------------------------------------------------------------------------------

    def _own_routes(self) -> list[Route]:
        return [
            Route("/status", self._status),
            Route("/events", self._events),
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
            Route("/openapi.json", self._openapi),
            Route("/docs", self._docs),
        ]

    async def _status(self, _request: Request) -> Response:
        return _reply(self._board.status)

    async def _openapi(self, _request: Request) -> Response:
        return _json(as_openapi(self._name, self._operations))

    async def _docs(self, _request: Request) -> Response:
        return Response(as_page(self._name, self._operations), media_type="text/html")

    async def _healthz(self, _request: Request) -> Response:
        return _json({"alive": True})

    async def _readyz(self, _request: Request) -> Response:
        state = getattr(self._board.status, "state", None)
        value = state.value if isinstance(state, Enum) else state
        ready = value != "fault"
        content = {"ready": ready, "state": value, "reason": getattr(self._board.status, "reason", "")}
        return _json(content, 200 if ready else 503)

    async def _metrics(self, _request: Request) -> Response:
        tree = msgspec.to_builtins(self._board.status, enc_hook=str)
        lines = [f"{key} {value}" for key, value in _numbers(f"stins_{tree.get('kind', 'daemon')}", tree)]
        return Response("\n".join([*lines, ""]), media_type="text/plain; version=0.0.4")

    async def _events(self, _request: Request) -> StreamingResponse:
        return StreamingResponse(self._event_stream(), media_type="text/event-stream")

    async def _event_stream(self) -> AsyncIterator[bytes]:
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        forget = self._board.listen(lambda: loop.call_soon_threadsafe(changed.set))
        try:
            while not self._board.closed:
                changed.clear()
                yield b"data: " + _JSON.encode(self._board.status) + b"\n\n"
                with suppress(TimeoutError):
                    async with asyncio.timeout(_HEARTBEAT_S):
                        await changed.wait()
        finally:
            forget()


def _awaitable(run: Callable[[Any], Any]) -> Callable[[Any], Awaitable[msgspec.Struct]]:
    if iscoroutinefunction(run):
        return run

    async def in_a_thread(request: Any) -> msgspec.Struct:
        reply: msgspec.Struct = await run_in_threadpool(run, request)
        return reply

    return in_a_thread


def _commanded(command: Command) -> Callable[[Request], Awaitable[Response]]:
    run = _awaitable(command.run)

    async def endpoint(request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return refusal(413, f"{command.path}: got more than {_MOST_BODY_BYTES} bytes, expected a short request")
        try:
            value = msgspec.json.decode(body or b"{}", type=command.request) if command.request else None
        except (msgspec.DecodeError, RecursionError) as error:
            return refusal(422, f"{command.path}: {error}")
        try:
            return _reply(await run(value))
        except StinsError as error:
            return refusal(409, str(error))

    return endpoint


def _documented(document: Document) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            media_type, content = await run_in_threadpool(document.read, request.path_params["which"])
        except StinsError as error:
            return refusal(404, str(error))
        return Response(content, media_type=media_type)

    return endpoint


async def _body(request: Request) -> bytes | None:
    """The whole body, or None where it is too long to be a command."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MOST_BODY_BYTES:
            return None
    return bytes(content)


def _reply(value: msgspec.Struct) -> Response:
    return _json(value)


def _json(content: Any, status: int = 200) -> Response:
    return Response(_JSON.encode(content), status_code=status, media_type="application/json")


def _numbers(prefix: str, tree: Any) -> list[tuple[str, float]]:
    if isinstance(tree, bool):
        return [(prefix, int(tree))]
    if isinstance(tree, int | float):
        return [(prefix, tree)]
    if isinstance(tree, dict):
        return [
            pair for key, value in tree.items() if key.isidentifier() for pair in _numbers(f"{prefix}_{key}", value)
        ]
    return []


def _local_hosts(own: str) -> set[str]:
    return {"127.0.0.1", "localhost", "[::1]", f"[{own}]" if ":" in own else own}


def read_token(config: HttpConfig) -> str | None:
    """The secret that requests must carry; None where only this machine can ask.

    Raises:
        ConfigError: others can ask and there is none, or it is not private.
    """
    if config.token_file is None:
        if not is_loopback(config.host):
            raise ConfigError(
                f"http.host: got {config.host!r}, which others can reach; set http.token_file as well, or use 127.0.0.1"
            )
        return None
    return _private_text(config.token_file)


def _private_text(path: Path) -> str:
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"http.token_file: {path} can be read by others; chmod 600 it")
        text = path.read_text().strip()
    except OSError as error:
        raise ConfigError(f"http.token_file: {path} cannot be read: {error.strerror}") from error
    if not text:
        raise ConfigError(f"http.token_file: {path} is empty, expected a secret")
    return text


def listen(config: HttpConfig) -> socket.socket:
    """A socket on which others can connect already.

    Raises:
        ConfigError: the address or port cannot be had.
    """
    try:
        family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        return socket.create_server((config.host, config.port), family=family)
    except OSError as error:
        raise ConfigError(
            f"http.port: cannot listen on {config.host}:{config.port}: {error.strerror}; choose another, or 0 for any"
        ) from error
