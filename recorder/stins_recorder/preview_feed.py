"""The writer's side of the preview: it offers the frame flushed last, and never waits for anybody to take it."""

from contextlib import suppress
from typing import Any

import msgspec
import zmq

from stins import StoreFrame, encode
from stins.transport.sockets import harden

__all__ = ["PreviewFeed"]


class PreviewFeed:
    """A PUSH socket with room for two frames."""

    def __init__(self, endpoint: str, context: zmq.Context[Any]) -> None:
        self._socket = context.socket(zmq.PUSH)
        harden(self._socket)
        self._socket.sndhwm = 2
        self._socket.connect(endpoint)
        self._offered: StoreFrame | None = None

    def offer(self, frame: StoreFrame | None, series_id: str | None) -> None:
        """Sends a frame if there is room; the same one is not sent twice."""
        if frame is None or frame is self._offered:
            return
        first = msgspec.json.encode((frame.row, series_id))
        with suppress(zmq.Again):
            self._socket.send_multipart([first, encode(frame.header), *frame.packet.payload], zmq.NOBLOCK, copy=False)
            self._offered = frame

    def close(self) -> None:
        """Closes the socket. Closing twice does no harm."""
        self._socket.close()
