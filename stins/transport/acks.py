"""The recorder's end of the side channel: it says how far the recorder has got, and never waits to say it."""

from collections.abc import Sequence
from contextlib import suppress

import zmq

from ..acks import Ack, encode_ack
from .sockets import TransportError, connect, harden

__all__ = ["AckSender"]

#: For the last ack, which lets the acquirer forget the end of the series.
_LINGER_S = 0.5


class AckSender:
    """Connects to the ack endpoint of every source; each gets the newest ack only, once it takes one."""

    def __init__(self, endpoints: Sequence[str], context: zmq.Context[zmq.Socket[bytes]] | None = None) -> None:
        context = context or zmq.Context.instance()
        self._sockets: list[zmq.Socket[bytes]] = []
        try:
            for endpoint in dict.fromkeys(endpoints):
                socket = context.socket(zmq.PUSH)
                self._sockets.append(socket)
                harden(socket)
                # An ack says all that the one before it said. To be set before connecting.
                socket.setsockopt(zmq.CONFLATE, 1)
                connect(socket, endpoint)
        except TransportError:
            self.close()
            raise

    def send(self, ack: Ack) -> None:
        """Leaves the ack to be taken, in the place of one that was not taken yet."""
        raw = encode_ack(ack)
        for socket in self._sockets:
            with suppress(zmq.Again):
                socket.send(raw, zmq.NOBLOCK)

    def close(self, linger_s: float = _LINGER_S) -> None:
        """Closes the sockets; the last ack has `linger_s` to leave. Closing twice does no harm."""
        for socket in self._sockets:
            socket.close(linger=round(linger_s * 1000))
