"""The republished stream: a PUB socket that drops what its subscribers don't take. It never waits."""

from collections.abc import Sequence
from contextlib import suppress

import zmq

from ..messages import Payload
from .hwm import high_water_mark
from .sending import send_uncopied
from .sockets import bind, harden

__all__ = ["LivePublisher"]


class LivePublisher:
    """XPUB, so that nothing at all is sent while nobody listens."""

    def __init__(
        self,
        endpoint: str,
        *,
        budget_bytes: int,
        max_message_bytes: int,
        context: zmq.Context[zmq.Socket[bytes]],
    ) -> None:
        self._socket = context.socket(zmq.XPUB)
        harden(self._socket)
        self._socket.sndhwm = high_water_mark(budget_bytes, max_message_bytes)
        self._socket.xpub_verboser = True
        self.endpoint = bind(self._socket, endpoint)
        self.subscribers = 0

    def watch_subscribers(self) -> None:
        """Counts who came and who went; call it now and then."""
        with suppress(zmq.Again):
            while True:
                joined = self._socket.recv(zmq.NOBLOCK)[:1] == b"\x01"
                self.subscribers = max(0, self.subscribers + (1 if joined else -1))

    def send(self, parts: Sequence[Payload]) -> None:
        """Offers a message to whoever listens; a full queue drops it for that subscriber only."""
        if self.subscribers:
            with suppress(zmq.Again):
                send_uncopied(self._socket, parts)

    def close(self) -> None:
        """Closes the socket. Closing twice does no harm."""
        self._socket.close()
