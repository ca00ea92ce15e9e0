"""HTTP control of a daemon: commands in, status out, pushed as server-sent events.

Loopback unless told otherwise; on loopback only requests that name a local host are answered (a web page cannot
rebind its name to us) and nothing with a foreign Origin changes state.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from ..errors import StinsError
from .board import StatusBoard
from .config import ConfigError, HttpConfig, is_loopback
from .description import Operation, as_openapi, as_page
from .guard import Guard, refusal
from .http import Answer, HttpServer, Request
from .push import Pushed, StatusEvents

__all__ = ["Command", "ControlServer", "Document", "listen", "read_token"]

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

    It is called in a thread of its connection, and may wait.
    """

    path: str
    summary: str
    request: Any = None
    run: Callable[[Any], msgspec.Struct]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A GET of something that is not the status: `read` gets the path's last step, returns media type and bytes."""

    path: str
    summary: str
    read: Callable[[str], tuple[str, bytes]]


class ControlServer:
    """Serves one daemon from threads of its own; `url` says where, once `start` has returned."""

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
        self._events = StatusEvents(board, _JSON)
        self._documents = documents
        token = read_token(config)
        self._operations = [
            *_STATUS,
            *(Operation("POST", command.path, command.summary, command.request) for command in commands),
            *(Operation("GET", f"{document.path}/{{which}}", document.summary) for document in documents),
        ]
        self._answers: Mapping[tuple[str, str], Callable[[Request], Answer | Pushed]] = {
            **{("GET", path): answer for path, answer in self._own().items()},
            **{("POST", command.path): partial(_command, command) for command in commands},
        }
        self._guard = Guard(_local_hosts(config.host) if is_loopback(config.host) else None, token)
        listening = listen(config)
        host, port = listening.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._server = HttpServer(name, listening, self._answer)

    def start(self) -> None:
        """From now on requests are answered."""
        self._server.start()

    def stop(self) -> None:
        """Ends the streams and the threads. Stopping twice does no harm."""
        self._board.close()
        self._server.stop()

    def _answer(self, request: Request) -> Answer | Pushed:
        if (refused := self._guard.refuses(request)) is not None:
            return refused
        method = "GET" if request.method == "HEAD" else request.method
        answer = self._answers.get((method, request.path))
        if answer is not None:
            return answer(request)
        if method == "GET":
            for document in self._documents:
                if request.path.startswith(f"{document.path}/"):
                    return _document(document, request.path.removeprefix(f"{document.path}/"))
        if any(path == request.path for _, path in self._answers):
            return refusal(405, f"{request.path}: got {request.method}, expected the other of GET and POST")
        return refusal(404, f"got the path {request.path!r}; /docs lists what there is")

    # -- what each daemon has -------------------------------------------------------------------

    def _own(self) -> dict[str, Callable[[Request], Answer | Pushed]]:
        return {
            "/status": lambda _: _json(self._board.status),
            "/events": lambda _: Pushed(self._board, self._events),
            "/healthz": lambda _: _json({"alive": True}),
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/openapi.json": lambda _: _json(as_openapi(self._name, self._operations)),
            "/docs": lambda _: Answer(200, as_page(self._name, self._operations).encode(), "text/html; charset=utf-8"),
        }

    def _readyz(self, _request: Request) -> Answer:
        state = getattr(self._board.status, "state", None)
        value = state.value if isinstance(state, Enum) else state
        ready = value != "fault"
        content = {"ready": ready, "state": value, "reason": getattr(self._board.status, "reason", "")}
        return _json(content, 200 if ready else 503)

    def _metrics(self, _request: Request) -> Answer:
        tree = msgspec.to_builtins(self._board.status, enc_hook=str)
        lines = [f"{key} {value}" for key, value in _numbers(f"stins_{tree.get('kind', 'daemon')}", tree)]
        return Answer(200, "\n".join([*lines, ""]).encode(), "text/plain; version=0.0.4; charset=utf-8")


def _command(command: Command, request: Request) -> Answer:
    try:
        value = msgspec.json.decode(request.body or b"{}", type=command.request) if command.request else None
    except (msgspec.DecodeError, RecursionError) as error:
        return refusal(422, f"{command.path}: {error}")
    try:
        return _json(command.run(value))
    except StinsError as error:
        return refusal(409, str(error))


def _document(document: Document, which: str) -> Answer:
    try:
        media_type, content = document.read(which)
    except StinsError as error:
        return refusal(404, str(error))
    return Answer(200, content, media_type)


def _json(content: Any, status: int = 200) -> Answer:
    return Answer(status, _JSON.encode(content))


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
