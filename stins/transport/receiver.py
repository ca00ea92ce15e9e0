"""The recorder's end of the stream: PULL sockets connected to the senders, payloads handed out uncopied."""

import time
from collections.abc import Sequence

import zmq
from zmq.utils.monitor import parse_monitor_message

from .hwm import DEFAULT_BUDGET_BYTES, DEFAULT_MAX_MESSAGE_BYTES, high_water_mark
from .sockets import connect, harden

__all__ = ["Receiver"]


class Receiver:
    """Connects to every endpoint; `budget_bytes` bounds what waits in its queues, all endpoints together.

    A message larger than `max_message_bytes` is refused by ZeroMQ, which drops the connection.
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
        self._monitor = self.socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self.connections = 0
        self._alone_since: float | None = None
        for endpoint in endpoints:
            connect(self.socket, endpoint)

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
            event = parse_monitor_message(self._monitor.recv_multipart())["event"]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.connections += 1
                self._alone_since = None
            elif self.connections > 0:
                self.connections -= 1
                if self.connections == 0:
                    self._alone_since = time.monotonic()

    def alone_for(self) -> float:
        """Seconds since the last sender went away; 0 while one is connected or none ever came."""
        return 0.0 if self._alone_since is None else time.monotonic() - self._alone_since

    def close(self) -> None:
        """Closes socket and monitor. Closing twice does no harm."""
        if not self.socket.closed:
            self.socket.disable_monitor()
            self._monitor.close()
            self.socket.close()
