"""What every socket of the project has in common."""

from typing import Any

import zmq

from ..errors import StinsError

__all__ = ["TransportError", "bind", "connect", "harden"]

# A dead peer behind a silent network is noticed after 10 + 3 x 5 s.
_KEEPALIVE_IDLE_S, _KEEPALIVE_INTERVAL_S, _KEEPALIVE_COUNT = 10, 5, 3


class TransportError(StinsError):
    """An endpoint could not be bound or connected."""


def harden(socket: zmq.Socket[Any]) -> None:
    """Keepalive on, no wait at exit for a peer that never comes."""
    socket.linger = 0
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, _KEEPALIVE_IDLE_S)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, _KEEPALIVE_INTERVAL_S)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, _KEEPALIVE_COUNT)


def bind(socket: zmq.Socket[Any], endpoint: str) -> str:
    """Binds and says where: a port 0 becomes the one that the system chose."""
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        socket.close()
        raise TransportError(f"cannot bind {endpoint}: {error}; choose another port, or 0 for any") from error
    return socket.getsockopt_string(zmq.LAST_ENDPOINT)


def connect(socket: zmq.Socket[Any], endpoint: str) -> None:
    """Connects; the peer may come later."""
    try:
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        raise TransportError(f"cannot connect {endpoint}: {error}; expected tcp://HOST:PORT") from error
