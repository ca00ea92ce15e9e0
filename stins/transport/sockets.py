"""What every socket of the project has in common."""

import struct
from typing import Any, NamedTuple

import zmq

from ..errors import StinsError

__all__ = [
    "MonitorEvent",
    "TransportError",
    "bind",
    "connect",
    "demand_handshake",
    "harden",
    "has_message",
    "next_event",
]

#: As a number: with a member of an enumeration it takes twice the time.
_POLLIN = int(zmq.POLLIN)
# A dead peer behind a silent network is noticed after 10 + 3 x 5 s, if nothing is under way to it.
_KEEPALIVE_IDLE_S, _KEEPALIVE_INTERVAL_S, _KEEPALIVE_COUNT = 10, 5, 3
# Where something was, TCP asks no more but sends it again, for some 15 min, or as long as is said here. It is also how
# long a living peer may take nothing at all: Linux counts a window that stays shut.
_UNACKNOWLEDGED_S = 60


class TransportError(StinsError):
    """An endpoint could not be bound or connected."""


def harden(socket: zmq.Socket[Any], *, sends_again: bool = False) -> None:
    """Keepalive on, no wait at exit for a peer that never comes.

    `sends_again`: a connection that is given up costs nothing, so one to a peer that takes nothing is.
    """
    socket.linger = 0
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, _KEEPALIVE_IDLE_S)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, _KEEPALIVE_INTERVAL_S)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, _KEEPALIVE_COUNT)
    if sends_again:
        socket.setsockopt(zmq.TCP_MAXRT, _UNACKNOWLEDGED_S * 1000)


def demand_handshake(socket: zmq.Socket[Any]) -> None:
    """Has the socket serve only who speaks ZMTP 3 (ZeroMQ 4 and later); called before it is bound.

    An older peer shakes no hands: ZeroMQ takes an HTTP request for one, and gives it messages, with no event.
    """
    # It refuses older peers where ZAP might have a say. Without a handler of ZAP a domain does nothing else.
    socket.setsockopt(zmq.ZAP_DOMAIN, b"stins")


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


def has_message(socket: zmq.Socket[Any]) -> bool:
    """Whether a message is there to be received, asked in the socket's thread.

    It takes 1 us; a poller, or to receive in vain, ten times that.
    """
    return bool(int(socket.getsockopt(zmq.EVENTS)) & _POLLIN)


class MonitorEvent(NamedTuple):
    """What became of a connection of a socket: one of zmq.EVENT_..., a file descriptor or error number, and where."""

    event: int
    value: int
    endpoint: str


def next_event(monitor: zmq.Socket[Any]) -> MonitorEvent:
    """The next message of a monitor socket, laid out as zmq_socket_monitor(3) says.

    That of `zmq.utils.monitor` would load asyncio, which takes the recorder's writer as long as the rest of ZeroMQ.
    """
    said, endpoint = monitor.recv_multipart()
    event, value = struct.unpack("=Hi", said)
    return MonitorEvent(event, value, endpoint.decode())
