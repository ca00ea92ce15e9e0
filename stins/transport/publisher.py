"""The acquirer's end of the stream: a bound PUSH socket that never copies a payload and never blocks unasked."""

from collections.abc import Sequence
from typing import Protocol

import zmq

from ..errors import StinsError
from ..messages import Payload
from .hwm import DEFAULT_BUDGET_BYTES, DEFAULT_MAX_MESSAGE_BYTES, high_water_mark
from .sockets import bind, harden

__all__ = ["Link", "Publisher"]


class Link(Protocol):
    """Where a sender puts its messages."""

    def send(self, parts: Sequence[Payload], timeout_s: float = 0.0) -> bool:
        """Queues one message; False if there was no room for it within `timeout_s`."""


class Publisher:
    """Binds `endpoint` (port 0: the system chooses, `endpoint` says which) and queues messages for its peers.

    Payloads are handed over uncopied: the caller must not change a buffer it has sent.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        self._context = context or zmq.Context.instance()
        self._socket = self._context.socket(zmq.PUSH)
        harden(self._socket)
        self._max_message_bytes = max_message_bytes
        self._socket.sndhwm = high_water_mark(budget_bytes, max_message_bytes)
        self.endpoint = bind(self._socket, endpoint)

    def send(self, parts: Sequence[Payload], timeout_s: float = 0.0) -> bool:
        """Queues one message; False if no peer had room for it within `timeout_s` (0: does not wait).

        Raises `StinsError` for a part above `max_message_bytes`: a receiver's ZeroMQ would drop the connection.
        """
        self._check_sizes(parts)
        if timeout_s > 0 and not self.wait_for_room(timeout_s):
            return False
        try:
            self._socket.send_multipart(parts, flags=zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return False
        return True

    def _check_sizes(self, parts: Sequence[Payload]) -> None:
        for index, part in enumerate(parts):
            # The length of a memoryview is that of its first axis.
            size = part.nbytes if isinstance(part, memoryview) else len(part)
            if size > self._max_message_bytes:
                raise StinsError(
                    f"part {index}: got {size} bytes, expected at most {self._max_message_bytes} "
                    "(stream.max_message_bytes)"
                )

    def wait_for_room(self, timeout_s: float) -> bool:
        """Whether a peer is connected and takes a message within `timeout_s`."""
        return bool(self._socket.poll(round(timeout_s * 1000), zmq.POLLOUT))

    def close(self, linger_s: float = 1.0) -> None:
        """Closes the socket; what is queued has `linger_s` to leave. Closing twice does no harm."""
        self._socket.close(linger=round(linger_s * 1000))
