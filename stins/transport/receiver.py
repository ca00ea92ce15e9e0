"""The recorder's end of the stream: PULL sockets connected to the senders, payloads handed out uncopied."""

import logging
import math
import socket as network
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import zmq

from .hwm import DEFAULT_BUDGET_BYTES, DEFAULT_MAX_MESSAGE_BYTES, high_water_mark
from .sockets import TransportError, connect, harden, has_message, next_event
from .threads import shared_context

__all__ = ["Receiver"]

log = logging.getLogger(__name__)

_EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CONNECT_RETRIED
#: ZeroMQ says that it tries again at once, or never.
_GIVEN_UP_S = 0.5


class Receiver:
    """Connects to every endpoint; `budget_bytes` bounds what waits in its queues, all endpoints together.

    `patience_s` is how long `receive` waits for a message (0: not at all).

    A message larger than `max_message_bytes` is refused by ZeroMQ, which drops the connection and gives it up for
    ever; it is made again here, and the messages after it arrive.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        patience_s: float = 0.0,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        self._context = context or shared_context()
        self.socket = self._context.socket(zmq.PULL)
        harden(self.socket)
        # Taken once, and without its types, which do not say that what it receives is a buffer.
        self._recv: Any = self.socket.recv
        self._patience_s = patience_s
        self.socket.rcvtimeo = round(patience_s * 1000)
        # The high-water mark holds for each connection.
        self.socket.rcvhwm = high_water_mark(budget_bytes // max(1, len(endpoints)), max_message_bytes)
        self.socket.maxmsgsize = max_message_bytes
        self._monitor = self.socket.get_monitor_socket(_EVENTS)
        # Connecting twice to one sender brings nothing, and its events could not be told apart.
        self._endpoints = tuple(dict.fromkeys(endpoints))
        self._max_message_bytes = max_message_bytes
        self._cut: dict[str, float] = {}  # endpoints that were disconnected, until ZeroMQ tries again: since when
        self._connected: set[str] = set()  # as ZeroMQ names them
        self._resolved: dict[str, str] = {}
        self._alone_since: float | None = None
        try:
            for endpoint in self._endpoints:
                connect(self.socket, endpoint)
        except TransportError:
            self.close()
            raise

    @property
    def connections(self) -> int:
        """How many senders are connected: a port that only accepts, and does not speak ZeroMQ, is none."""
        return len(self._connected)

    def receive(self, patience_s: float | None = None) -> list[memoryview] | None:
        """The parts of the next message, uncopied, or None if none comes within `patience_s`, from now on."""
        if patience_s is not None and patience_s != self._patience_s:
            self._patience_s = patience_s
            self.socket.rcvtimeo = math.ceil(patience_s * 1000)
        receive = self._recv
        try:
            frame = receive(0 if self._patience_s else zmq.NOBLOCK, False)
        except zmq.Again:
            return None
        # Its `buffer` is one too, and a weak reference to it besides.
        parts = [memoryview(frame)]
        # The parts of a message arrive together; `recv_multipart` costs 1 us more.
        while frame.more:
            frame = receive(0, False)
            parts.append(memoryview(frame))
        return parts

    def watch_connections(self) -> None:
        """Reads what became of the connections; call it now and then."""
        while has_message(self._monitor):
            event, _, peer = next_event(self._monitor)
            if event == zmq.EVENT_CONNECT_RETRIED:
                self._cut.pop(self._named(peer), None)
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._connected.add(peer)
                self._alone_since = None
            else:
                self._cut[self._named(peer)] = time.monotonic()
                self._gone(peer)
        for endpoint in [e for e, since in self._cut.items() if time.monotonic() - since > _GIVEN_UP_S]:
            self._connect_again(endpoint)

    def _gone(self, peer: str) -> None:
        """Only who had shaken hands can leave the receiver alone."""
        if peer in self._connected:
            self._connected.remove(peer)
            if not self._connected:
                self._alone_since = time.monotonic()

    def _named(self, peer: str) -> str:
        """The endpoint as it was given: ZeroMQ's events resolve a host's name."""
        if peer in self._endpoints:
            return peer
        if peer not in self._resolved:
            self._resolved[peer] = _given(peer, self._endpoints)
        return self._resolved[peer]

    def _connect_again(self, endpoint: str) -> None:
        del self._cut[endpoint]
        if endpoint in self._endpoints:
            log.warning(
                "%s: ZeroMQ has given up the connection (a message of more than %d bytes?); connecting again",
                endpoint,
                self._max_message_bytes,
            )
            with suppress(zmq.ZMQError):
                self.socket.disconnect(endpoint)
            connect(self.socket, endpoint)

    def alone_for(self) -> float:
        """Seconds since the last sender went away; 0 while one is connected or none ever came."""
        return 0.0 if self._alone_since is None else time.monotonic() - self._alone_since

    def close(self) -> None:
        """Closes socket and monitor. Closing twice does no harm."""
        if not self.socket.closed:
            self.socket.disable_monitor()
            self._monitor.close()
            self.socket.close()


def _given(peer: str, endpoints: Sequence[str]) -> str:
    """Which of the endpoints, given by name, is this address; several hosts may use one port."""
    host, _, port = peer.removeprefix("tcp://").rpartition(":")
    same_port = [given for given in endpoints if given.endswith(f":{port}")]
    if len(same_port) == 1:
        return same_port[0]
    for given in same_port:
        name = given.removeprefix("tcp://").rpartition(":")[0]
        # ZeroMQ has just resolved the same name.
        with suppress(OSError):
            if host.strip("[]") in {str(found[4][0]) for found in network.getaddrinfo(name.strip("[]"), None)}:
                return given
    return peer
