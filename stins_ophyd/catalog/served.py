"""A catalogue behind a port: Tiled in a process of its own, and the way to it or to any other Tiled."""

import secrets
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from stins import RemoteError, StinsError

from ..processes import DaemonProcess
from .tiled import with_tiled

__all__ = ["ServedCatalog", "connect_catalog"]

#: Tiled takes ten seconds to import, more on a machine that is busy.
_START_S = 120.0
_KNOCK_S = 5.0


def connect_catalog(uri: str, api_key: str | None = None) -> Any:
    """The client of a catalogue of runs that a Tiled server has, such as that of `stins catalogue serve`.

    `uri` is the server's, or that of a container in it; without `api_key`, the environment's TILED_API_KEY counts.

    Raises:
        RemoteError: no such server answers there, or not to this key.
        StinsError: Tiled is not installed.
    """
    remedy = "does the server run (stins catalogue serve), and is its key in TILED_API_KEY?"
    if find_spec("bluesky_tiled_plugins") is not None:
        with _named(uri, "connect", remedy):
            _knock(uri)  # before Tiled is imported, which takes ten seconds and more
    parts = with_tiled("client")
    with _named(uri, "connect", remedy):
        catalog = parts.connect(uri, api_key)
    catalog.check = lambda: _check(uri)
    return catalog


def _check(uri: str) -> None:
    """Whoever looks for a run is told at once that there is no server any more.

    Raises:
        RemoteError: nobody answers there.
    """
    remedy = (
        "does the server run (stins catalogue serve)? The runs that it did not get are kept, and sent once it is back"
    )
    with _named(uri, "look for a run", remedy):
        _knock(uri)


@contextmanager
def _named(uri: str, step: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Tiled's, httpx', a URI that is none
        said = str(error).strip().split("\n")[0] or type(error).__name__
        raise RemoteError("catalogue", step, uri, said, remedy=remedy) from error


def _knock(uri: str) -> None:
    """Tiled's client would try for a minute, and would not say where."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise StinsError("expected an address such as http://127.0.0.1:8000")
    if getproxies().get(parts.scheme) and not proxy_bypass(parts.hostname):
        return  # the proxy knows the way, not we
    port = parts.port or (443 if parts.scheme == "https" else 80)
    socket.create_connection((parts.hostname, port), _KNOCK_S).close()


class ServedCatalog:
    """`stins catalogue serve` as a child process, for several sessions and programs. Leaving the context ends it.

    `uri` says where; whoever is to read or write needs `api_key`. Its messages stand in the folder `logs`.
    """

    def __init__(
        self,
        folder: Path | str,
        readable: Iterable[Path | str] = (),
        *,
        port: int = 0,
        logs: Path | None = None,
    ) -> None:
        self.api_key = secrets.token_hex(16)
        config = {
            "folder": str(Path(folder).resolve()),
            "readable": [str(Path(path).resolve()) for path in readable],
            "http": {"port": port},
        }
        environment = {"TILED_API_KEY": self.api_key}  # not in a file, nor among the words that `ps` shows
        self.process = DaemonProcess("catalogue", config, folder=logs, deadline_s=_START_S, environment=environment)
        self.uri = self.process.ready.control

    def client(self) -> Any:
        """A client of it."""
        return connect_catalog(self.uri, self.api_key)

    def stop(self) -> None:
        """Ends it."""
        self.process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
