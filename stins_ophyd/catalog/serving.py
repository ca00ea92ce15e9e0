"""A catalogue as a process: Tiled's server, with our configuration, ready line and end."""

import os
import secrets
import sys
from typing import Any

import uvicorn

from stins.daemon import Ready, announce, on_stdin_closed
from stins.daemon.server import listen, read_token

from .app import catalogue_app
from .config import CatalogueConfig

__all__ = ["serve"]

_END_S = 2


def serve(config: CatalogueConfig, *, end_with_stdin: bool = False) -> None:
    """Serves until it is told to end.

    Raises:
        ConfigError: the port cannot be had, or the key is missing or not private.
    """
    key = read_token(config.http) or os.environ.get("TILED_API_KEY") or _new_key()
    app = catalogue_app(config.folder.resolve(), config.readable, key)
    with listen(config.http) as socket:
        host, port = socket.getsockname()[:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        server = _Server(
            uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_END_S),
            Ready(process=config.name, kind="catalogue", control=url, pid=os.getpid()),
        )
        if end_with_stdin:
            on_stdin_closed(server.end)
        server.run(sockets=[socket])


def _new_key() -> str:
    key = secrets.token_hex(16)
    print(f"a new key, for this time: export TILED_API_KEY={key}", file=sys.stderr)
    return key


class _Server(uvicorn.Server):
    """Says where it is once it answers. Signals end it: that is uvicorn's own way."""

    def __init__(self, config: uvicorn.Config, ready: Ready) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: Any = None) -> None:
        """Starts answering."""
        await super().startup(sockets)
        if self.started:
            announce(self._ready)

    def end(self) -> None:
        """Ends it, from any thread."""
        self.should_exit = True
