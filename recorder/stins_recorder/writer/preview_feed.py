"""The writer's side of the preview: it offers the frame written last, and never waits for anybody to take it."""

import math
from contextlib import suppress
from typing import Any

import msgspec
import zmq

from stins import Packet, StoreFrame, encode
from stins.checks import part_bytes
from stins.messages import Payload
from stins.transport.sending import send_uncopied
from stins.transport.sockets import harden

__all__ = ["PreviewFeed"]

#: Pixels of 8 MiB cost 5 ms of two processes, another 5 where a mask leaves some of them out: so much of them is looked
#: at that it is an eighth of one core at most, and a thirtieth while more frames wait to be written.
_BYTES_PER_S, _BUSY_BYTES_PER_S = 100e6, 25e6


class PreviewFeed:
    """A PUSH socket with room for two frames, and a pace: large frames are offered less often."""

    def __init__(self, endpoint: str, context: zmq.Context[Any]) -> None:
        self._socket = context.socket(zmq.PUSH)
        harden(self._socket)
        self._socket.sndhwm = 2
        self._socket.connect(endpoint)
        self._offered: StoreFrame | None = None
        self._masks: Packet | None = None
        # When the last one went, and how many bytes its pixels are.
        self._sent, self._size_bytes = -math.inf, 0

    def offer(
        self,
        frame: StoreFrame | None,
        series_id: str | None,
        now: float,
        masks: Packet | None = None,
        *,
        busy: bool = False,
    ) -> float:
        """Sends a frame if there is room; the same one is not sent twice. `busy`: more frames wait to be written.

        The series' `masks` go once, before its first frame; where they find no room, no frame goes without them.
        Returned is in how many seconds it should be offered again, 0 if it need not be.
        """
        if frame is None or frame is self._offered:
            return 0.0
        due = self._sent + self._size_bytes / (_BUSY_BYTES_PER_S if busy else _BYTES_PER_S)
        if now < due:
            return due - now
        # What it costs is that of its pixels: a compressed frame has many more than it has bytes.
        self._sent, self._size_bytes = now, sum(map(part_bytes, frame.header.data or ()))
        with suppress(zmq.Again):
            if masks is not None and masks is not self._masks:
                self._send(None, series_id, encode(masks.header), *masks.payload)
                self._masks = masks
            self._send(frame.row, series_id, encode(frame.header), *frame.packet.payload)
            self._offered = frame
        return 0.0

    def passed(self, frame: StoreFrame) -> None:
        """This frame was looked at already."""
        self._offered = frame

    def _send(self, row: int | None, series_id: str | None, *parts: Payload) -> None:
        """A frame of that row; without a row, the masks of the series."""
        first = msgspec.json.encode((row, series_id))
        send_uncopied(self._socket, [first, *parts])

    def close(self) -> None:
        """Closes the socket. Closing twice does no harm."""
        self._socket.close()
