"""The recorder's end of the stream: PULL sockets connected to the senders, payloads handed out uncopied."""

import logging
import time
from collections.abc import Sequence
from contextlib import suppress

import zmq
from zmq.utils.monitor import parse_monitor_message

from .hwm import DEFAULT_BUDGET_BYTES, DEFAULT_MAX_MESSAGE_BYTES, high_water_mark
from .sockets import TransportError, connect, harden

__all__ = ["Receiver"]

log = logging.getLogger(__name__)

_EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CONNECT_RETRIED
#: ZeroMQ says that it tries again at once, or never.
_GIVEN_UP_S = 0.5


class Receiver:
    """Connects to every endpoint; `budget_bytes` bounds what waits in its queues, all endpoints together.

    A message larger than `max_message_bytes` is refused by ZeroMQ, which drops the connection and gives it up for
    ever; it is made again here, and the messages after it arrive.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        self._context = context or zmq.Context.instance()
        self.socket = self._context.socket(zmq.PULL)
        harden(self.socket)
        # The high-water mark holds for each connection.
        self.socket.rcvhwm = high_water_mark(budget_bytes // max(1, len(endpoints)), max_message_bytes)
        self.socket.maxmsgsize = max_message_bytes
        self._monitor = self.socket.get_monitor_socket(_EVENTS)
        self._endpoints = tuple(endpoints)
        self._max_message_bytes = max_message_bytes
        self._cut: dict[str, float] = {}  # endpoints that were disconnected, until ZeroMQ tries again: since when
        self.connections = 0
        self._alone_since: float | None = None
        try:
            for endpoint in endpoints:
                connect(self.socket, endpoint)
        except TransportError:
            self.close()
            raise

    def receive(self) -> list[memoryview] | None:
        """The parts of the next message, uncopied, or None if nothing waits."""
        try:
            frames = self.socket.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        return [frame.buffer for frame in frames]

    def watch_connections(self) -> None:
        """Reads what became of the connections; call it now and then."""
        while self._monitor.poll(0):
            message = parse_monitor_message(self._monitor.recv_multipart())
            event, endpoint = message["event"], self._named(message["endpoint"].decode())
            if event == zmq.EVENT_CONNECT_RETRIED:
                self._cut.pop(endpoint, None)
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.connections += 1
                self._alone_since = None
            else:
                self._cut[endpoint] = time.monotonic()
                self._count_down()
        for endpoint in [e for e, since in self._cut.items() if time.monotonic() - since > _GIVEN_UP_S]:
            self._connect_again(endpoint)

    def _count_down(self) -> None:
        if self.connections > 0:
            self.connections -= 1
            if self.connections == 0:
                self._alone_since = time.monotonic()

    def _named(self, endpoint: str) -> str:
        """The endpoint as it was given: ZeroMQ's events resolve a host's name."""
        if endpoint in self._endpoints:
            return endpoint
        port = endpoint.rpartition(":")[2]
        return next((given for given in self._endpoints if given.endswith(f":{port}")), endpoint)

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
