"""Who is connected to a bound socket: ZeroMQ drops what it has queued for a peer that goes, and tells nobody."""

import math
import time
from collections import deque
from typing import Any

import zmq

from .sockets import has_message, next_event

__all__ = ["PeerWatch"]

_EVENTS = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_DISCONNECTED
)


class PeerWatch:
    """Reads the events of a socket; `joined` and `left` are when the last peer came and went (monotonic seconds).

    It is made before the socket is bound. A connection that never spoke ZeroMQ (a probe of the port) is no peer.
    """

    def __init__(self, socket: zmq.Socket[Any]) -> None:
        self._socket = socket
        self._monitor = socket.get_monitor_socket(_EVENTS)
        # File descriptors. The event of a handshake does not say whose it was: it is taken for that of the first that
        # came, until the end of one of them says better.
        self._arriving: deque[int] = deque()
        self._peers: deque[int] = deque()
        self._failed = False
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
                gone |= self._leave(descriptor, was_peer=not self._failed)
                self._failed = False
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                if self._arriving:
                    self._peers.append(self._arriving.popleft())
                    self.joined = time.monotonic()
            else:
                # The end of the same connection is the next event.
                self._failed = True
        return gone

    def _leave(self, descriptor: int, *, was_peer: bool) -> bool:
        taken_for, other = (self._peers, self._arriving) if descriptor in self._peers else (self._arriving, self._peers)
        if descriptor not in taken_for:
            return False
        taken_for.remove(descriptor)
        if was_peer != (taken_for is self._peers) and other:
            # The handshake that it was given was another's, or the other way round.
            taken_for.append(other.popleft())
        if was_peer:
            self.left = time.monotonic()
        return was_peer

    def close(self) -> None:
        """Ends the watch, before its socket is closed. Closing twice does no harm."""
        if not self._monitor.closed:
            if not self._socket.closed:
                self._socket.disable_monitor()
            self._monitor.close()
