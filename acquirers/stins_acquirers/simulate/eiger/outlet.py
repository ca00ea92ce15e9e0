"""One bound PUSH socket and the buffer in front of it: what no client fetches waits there, until there is no room."""

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import zmq

from stins.transport.sockets import bind, harden

__all__ = ["Message", "Outlet"]

#: Messages that ZeroMQ holds for one client, beside those of the buffer; few, for they are what memory is held for.
_HIGH_WATER_MARK = 64
_CLOSE_DEADLINE_MS = 200


class Message(msgspec.Struct, frozen=True):
    """`send` raises `zmq.Again` where the socket has no room."""

    send: Callable[[zmq.Socket[Any]], None]
    is_image: bool


class Outlet:
    """Used by one thread. Images that find no room in the buffer are dropped and counted."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, buffer_images: int) -> None:
        self._context = context
        self._buffer_images = buffer_images
        self._waiting: deque[Message] = deque()
        self._images_waiting = 0
        self._socket, self.endpoint = self._bind(endpoint)

    @property
    def waiting(self) -> int:
        """How many images wait for a client."""
        return self._images_waiting

    def offer(self, message: Message) -> bool:
        """Sends the message or keeps it; False where an image had to be dropped."""
        self.flush()
        if not self._waiting and self._try(message):
            return True
        if message.is_image and self._images_waiting >= self._buffer_images:
            return False
        self._waiting.append(message)
        self._images_waiting += message.is_image
        return True

    def flush(self) -> None:
        """Sends what waits, as far as there is room."""
        while self._waiting and self._try(self._waiting[0]):
            self._images_waiting -= self._waiting.popleft().is_image

    def drop_images(self) -> int:
        """Throws away the images that wait; how many there were."""
        dropped, self._images_waiting = self._images_waiting, 0
        self._waiting = deque(message for message in self._waiting if not message.is_image)
        return dropped

    def clear(self) -> None:
        """Throws away everything that waits."""
        self._waiting.clear()
        self._images_waiting = 0

    def restart(self) -> None:
        """Breaks all connections and begins anew at the same address."""
        self.clear()
        self._socket.close(linger=0)
        self._socket, _ = self._bind(self.endpoint)

    def close(self) -> None:
        """Gives what is sent already a moment to leave. Closing twice does no harm."""
        self._socket.close(linger=_CLOSE_DEADLINE_MS)

    def _bind(self, endpoint: str) -> tuple[zmq.Socket[bytes], str]:
        socket: zmq.Socket[bytes] = self._context.socket(zmq.PUSH)
        harden(socket)
        socket.sndhwm = _HIGH_WATER_MARK
        return socket, bind(socket, endpoint)

    def _try(self, message: Message) -> bool:
        try:
            message.send(self._socket)
        except zmq.Again:
            return False
        return True
