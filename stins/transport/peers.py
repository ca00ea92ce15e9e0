"""Who is connected to a bound socket: ZeroMQ drops what it has queued for a peer that goes, and tells nobody."""

import math
import time
from collections import deque
from typing import Any

import zmq

from .sockets import has_message, next_event

__all__ = ["PeerWatch"]

_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED


class PeerWatch:
    """Reads the events of a socket; `joined` and `left` are when the last peer came and went (monotonic seconds).

    It is made before the socket is bound. A connection that never spoke ZeroMQ (a probe of the port) is no peer.
    """

    def __init__(self, socket: zmq.Socket[Any]) -> None:
        self._socket = socket
        self._monitor = socket.get_monitor_socket(_EVENTS)
        self._arriving: deque[int] = deque()  # file descriptors
        self._peers: set[int] = set()
        self.joined = self.left = -math.inf

    @property
    def connected(self) -> bool:
        """Whether there is a peer, as far as that was looked at."""
        return bool(self._peers)

    @property
    def count(self) -> int:
        """How many peers there are, as far as that was looked at."""
        return len(self._peers)

    def look(self, timeout_s: float = 0.0) -> bool:
        """Reads what happened since the last look, or happens within `timeout_s`; whether a peer has gone."""
        gone = False
        if timeout_s:
            self._monitor.poll(round(timeout_s * 1000))
        while has_message(self._monitor):
            event, descriptor, _ = next_event(self._monitor)
            if event == zmq.EVENT_ACCEPTED:
                self._arriving.append(descriptor)
            elif event == zmq.EVENT_DISCONNECTED:
                gone |= self._leave(descriptor)
            elif self._arriving:
                # The event of a handshake does not say whose: the first that came.
                self._peers.add(self._arriving.popleft())
                self.joined = time.monotonic()
        return gone

    def _leave(self, descriptor: int) -> bool:
        if descriptor in self._arriving:
            self._arriving.remove(descriptor)
        was_peer = descriptor in self._peers
        self._peers.discard(descriptor)
        if was_peer:
            self.left = time.monotonic()
        return was_peer

    def close(self) -> None:
        """Ends the watch, before its socket is closed. Closing twice does no harm."""
        if not self._monitor.closed:
            if not self._socket.closed:
                self._socket.disable_monitor()
            self._monitor.close()
