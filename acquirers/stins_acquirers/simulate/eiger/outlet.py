"""One bound PUSH socket and the buffer in front of it: what no client fetches waits there, until there is no room."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec
import zmq

from stins.transport.peers import PeerWatch
from stins.transport.sockets import TransportError, bind, harden

__all__ = ["Message", "Outlet"]

#: Messages that ZeroMQ holds for one client, beside those of the buffer: 16 ms at 2,000 images/s.
_HIGH_WATER_MARK: Final = 32
#: Of a message that it is just writing, and the one behind it.
_BEING_WRITTEN: Final = 2
#: Starts and ends that wait; each holds the images of its series, 1.3 MB of an EIGER2 1M at 8 images.
_MOST_OTHERS: Final = 64
_CLOSE_DEADLINE_MS: Final = 200
#: ZeroMQ lets go of an address some moments after its socket is closed.
_BIND_DEADLINE_S, _BIND_PAUSE_S = 5.0, 0.01


class Message(msgspec.Struct, frozen=True):
    """`send` gets the socket and how many messages may still be on their way; it raises `zmq.Again` without room."""

    send: Callable[[zmq.Socket[Any], int], None]
    is_image: bool


class Outlet:
    """Used by one thread. Images that find no room in the buffer are dropped, and the caller counts them."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, buffer_images: int) -> None:
        self._context = context
        self._buffer_images = buffer_images
        self._waiting: deque[Message] = deque()
        self._images_waiting = 0
        self._open(endpoint)

    @property
    def waiting(self) -> int:
        """How many images wait for a client."""
        return self._images_waiting

    @property
    def has_to_flush(self) -> bool:
        """Whether anything waits."""
        return bool(self._waiting)

    def offer(self, message: Message) -> bool:
        """Sends the message or keeps it; False where an image had to be dropped."""
        if not self._waiting and self._try(message):
            return True
        if message.is_image and self._images_waiting >= self._buffer_images:
            return False
        while len(self._waiting) - self._images_waiting >= _MOST_OTHERS:
            self._images_waiting -= self._waiting.popleft().is_image
        self._waiting.append(message)
        self._images_waiting += message.is_image
        return True

    def flush(self) -> None:
        """Sends what waits, as far as there is room."""
        self._look()
        while self._waiting and self._try(self._waiting[0]):
            self._images_waiting -= self._waiting.popleft().is_image

    def forget_unwanted(self) -> int:
        """Throws away what waits, if there is no client; how many images."""
        if not self._waiting or self._peers.connected:
            return 0
        dropped = self._images_waiting
        self.clear()
        return dropped

    def drop_images(self) -> int:
        """Throws away the images that wait; how many."""
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
        self._peers.close()
        self._socket.close(linger=0)
        deadline = time.monotonic() + _BIND_DEADLINE_S
        while True:
            try:
                return self._open(self.endpoint)
            except TransportError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_BIND_PAUSE_S)

    def close(self) -> None:
        """Gives what is sent already a moment to leave. Closing twice does no harm."""
        self._peers.close()
        self._socket.close(linger=_CLOSE_DEADLINE_MS)

    def _open(self, endpoint: str) -> None:
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.PUSH)
        harden(self._socket)
        self._socket.sndhwm = _HIGH_WATER_MARK
        self._peers = PeerWatch(self._socket)
        self._look()
        try:
            self.endpoint = bind(self._socket, endpoint)
        except TransportError:
            self._peers.close()
            raise

    def _look(self) -> None:
        """One client more than those that are known: it may have come since."""
        self._peers.look()
        self._most_on_their_way = (self._peers.count + 1) * (_HIGH_WATER_MARK + _BEING_WRITTEN)

    def _try(self, message: Message) -> bool:
        try:
            message.send(self._socket, self._most_on_their_way)
        except zmq.Again:
            return False
        return True
