"""Who is connected to a bound socket: ZeroMQ drops what it has queued for a peer that goes, and tells nobody."""

import math
import time
from enum import IntEnum
from typing import Any

import zmq

from .sockets import demand_handshake, has_message, next_event

__all__ = ["PeerWatch", "Went"]

_EVENTS = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_DISCONNECTED
)


class Went(IntEnum):
    """Which peer has gone."""

    NOBODY = 0
    ONE_OF_SEVERAL = 1
    THE_LAST = 2


class PeerWatch:
    """Reads the events of a socket; `joined` and `left` are when a peer came and the last one went (monotonic seconds).

    It is made before the socket is bound, and has it serve nobody without a handshake. `look` is to be called now and
    then: ZeroMQ keeps some 2,000 events, three for each connection, and then its thread stands still.

    The event of a handshake does not say whose it was. All that had connected by then may be the peer, and count as
    peers, until they go. A connection that comes later and shakes no hands (a probe of the port) never does.
    """

    def __init__(self, socket: zmq.Socket[Any]) -> None:
        demand_handshake(socket)
        self._socket = socket
        self._monitor = socket.get_monitor_socket(_EVENTS)
        # File descriptors.
        self._arriving: set[int] = set()
        self._peers: set[int] = set()
        self._failed = False
        self.joined = self.left = -math.inf

    @property
    def connected(self) -> bool:
        """Whether there is a peer, as far as that was looked at."""
        return bool(self._peers)

    @property
    def count(self) -> int:
        """How many peers there are at most, as far as that was looked at."""
        return len(self._peers)

    def look(self, timeout_s: float = 0.0) -> Went:
        """Reads what happened since the last look, or happens within `timeout_s`; whether a peer has gone.

        If several have, the last of them counts for more.
        """
        went = Went.NOBODY
        if timeout_s:
            self._monitor.poll(round(timeout_s * 1000))
        while has_message(self._monitor):
            event, descriptor, _ = next_event(self._monitor)
            if event == zmq.EVENT_ACCEPTED:
                self._arriving.add(descriptor)
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._peers |= self._arriving
                self._arriving.clear()
                self.joined = time.monotonic()
            elif event == zmq.EVENT_DISCONNECTED:
                went = max(went, self._leave(descriptor))
                self._failed = False
            else:
                # The end of the same connection is the next event. Not all that fail are told of: a TLS client or a
                # socket of the wrong type only ends.
                self._failed = True
        return went

    def _leave(self, descriptor: int) -> Went:
        if descriptor not in self._peers:
            self._arriving.discard(descriptor)
            return Went.NOBODY
        self._peers.remove(descriptor)
        if not self._peers:
            self.left = time.monotonic()
            return Went.THE_LAST
        return Went.NOBODY if self._failed else Went.ONE_OF_SEVERAL

    def close(self) -> None:
        """Ends the watch, before its socket is closed. Closing twice does no harm."""
        if not self._monitor.closed:
            if not self._socket.closed:
                self._socket.disable_monitor()
            self._monitor.close()
