"""The side channel: the recorder says how far it has got and never waits to say it; the acquirer hears it."""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

import zmq

from ..acks import Ack, decode_ack, encode_ack
from ..errors import MessageError
from .sockets import TransportError, bind, connect, harden, has_message
from .threads import shared_context

__all__ = ["AckListener", "AckSender"]

log = logging.getLogger(__name__)

#: For the last ack, which lets the acquirer forget the end of the series.
_LINGER_S = 0.5
#: Acks that wait while nobody takes them: the first is a hello, and each later one makes those before it needless.
_UNSENT = 2
#: Acks that wait to be read: a new one is due with each flush, every 200 ms or so. An ack is less than 4 KiB.
_QUEUE, _LARGEST = 64, 4096


class AckSender:
    """Connects to the ack endpoint of every source."""

    def __init__(self, endpoints: Sequence[str], context: zmq.Context[zmq.Socket[bytes]] | None = None) -> None:
        context = context or shared_context()
        self._sockets: list[zmq.Socket[bytes]] = []
        try:
            for endpoint in dict.fromkeys(endpoints):
                socket = context.socket(zmq.PUSH)
                self._sockets.append(socket)
                harden(socket)
                # Not ZMQ_CONFLATE: closing such a socket overwrites its last message, and the last ack counts most.
                socket.sndhwm = _UNSENT
                connect(socket, endpoint)
        except TransportError:
            self.close()
            raise

    def send(self, ack: Ack) -> None:
        """Queues the ack where there is room; where there is none a later one will say as much and more."""
        raw = encode_ack(ack)
        for socket in self._sockets:
            with suppress(zmq.Again):
                socket.send(raw, zmq.NOBLOCK)

    def close(self, linger_s: float = _LINGER_S) -> None:
        """Closes the sockets; the last ack has `linger_s` to leave. Closing twice does no harm."""
        for socket in self._sockets:
            socket.close(linger=round(linger_s * 1000))


class AckListener:
    """Binds `endpoint` and hears the recorders; `heard` is when the last ack was read (monotonic seconds)."""

    def __init__(self, endpoint: str, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.socket = context.socket(zmq.PULL)
        harden(self.socket)
        self.socket.rcvhwm = _QUEUE
        self.socket.maxmsgsize = _LARGEST
        self.endpoint = bind(self.socket, endpoint)
        self.heard = -math.inf
        self.refused = 0

    def take(self) -> Iterator[Ack]:
        """The acks that wait."""
        while has_message(self.socket):
            raw = self.socket.recv(zmq.NOBLOCK)
            try:
                ack = decode_ack(raw)
            except MessageError as error:
                self._refuse(error)
            else:
                self.heard = time.monotonic()
                yield ack

    def _refuse(self, error: MessageError) -> None:
        self.refused += 1
        if self.refused == 1:
            log.warning("%s: refused, as all that is like it: %s", self.endpoint, error)

    def close(self) -> None:
        """Closes the socket. Closing twice does no harm."""
        self.socket.close()
