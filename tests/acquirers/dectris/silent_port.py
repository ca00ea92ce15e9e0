"""A port that answers no SYN, as one behind a firewall."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["connecting", "silent_port", "wait_until_connecting"]


@contextmanager
def silent_port() -> Iterator[int]:
    """Such a port of 127.0.0.1."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)  # one waits to be accepted, and the next has no answer
        with socket.create_connection(server.getsockname(), 10):
            yield server.getsockname()[1]


def connecting(port: int) -> bool:
    """Whether somebody waits for an answer of it."""
    # The state of the socket, behind both addresses: SYN_SENT.
    return f":{port:04X} 02" in Path("/proc/net/tcp").read_text()


def wait_until_connecting(port: int) -> None:
    """Until somebody does."""
    deadline = time.monotonic() + 10
    while not connecting(port):
        assert time.monotonic() < deadline, f"nobody connects to port {port}"
        time.sleep(0.005)
