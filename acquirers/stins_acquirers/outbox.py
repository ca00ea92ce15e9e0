"""Makes the messages of a series from what a backend hands over, and puts them on the link."""

import msgspec
from msgspec import UNSET

from stins import Limits, SeriesHeader, SeriesSender, StinsError, encode
from stins.messages import Data, Payload
from stins.transport import Link

from .backend import Ending, Frame

__all__ = ["Outbox"]

_HEADER_BYTES = Limits().header_bytes


class _Offered(msgspec.Struct, frozen=True, gc=False):
    """A frame whose message is made and found no room yet."""

    frame: Frame
    message: Data
    parts: tuple[Payload, ...]


class Outbox:
    """One series after the other. What finds no room is taken back, so that ids stay dense and frame numbers true."""

    def __init__(self, name: str, link: Link, endpoint: str, peer_timeout_s: float) -> None:
        self._name = name
        self._link = link
        self._endpoint = endpoint
        self._peer_timeout_s = peer_timeout_s
        self._sender = SeriesSender()
        self._offered: _Offered | None = None
        self._retake = False
        self.sent = 0
        self.dropped = 0
        self.next_frame = 0

    def open(self, header: SeriesHeader, payload: tuple[Payload, ...]) -> None:
        """Sends the series-start; raises `StinsError` if nobody takes it, and no series is open then."""
        start = self._sender.start(header)
        encoded = encode(start)
        try:
            if len(encoded) > _HEADER_BYTES:
                raise StinsError(
                    f"{self._name}: series-start: got a header of {len(encoded)} bytes, expected at most "
                    f"{_HEADER_BYTES}; is there too much meta data?"
                )
            self._send("series-start", (encoded, *payload))
        except StinsError:
            self._sender = SeriesSender(start.message_id)
            raise
        self.sent = self.dropped = self.next_frame = 0
        self._retake = False

    def rewind(self, first_frame: int) -> None:
        """The next frame is `first_frame`, taken again if it was sent before."""
        self._retake = self._retake or first_frame < self.next_frame
        self.next_frame = first_frame

    def offer(self, frame: Frame, timeout_s: float = 0.0) -> bool:
        """Sends a frame if there is room for it within `timeout_s`; a refused one may be offered again, or dropped."""
        if self._offered is None or self._offered.frame is not frame:
            self._offered = self._make(frame)
        if not self._link.send(self._offered.parts, timeout_s):
            return False
        self._offered = None
        self._retake = False
        self.sent += frame.count
        self.next_frame = frame.number + frame.count
        return True

    def drop(self, frame: Frame) -> None:
        """Counts a frame that nobody takes; the next message names it."""
        if self._offered is not None and self._offered.frame is frame:
            self._sender.unsend(self._offered.message, frame.count)
            self._offered = None
        else:
            self._sender.drop(frame.number, frame.number + frame.count - 1)
        self.dropped += frame.count
        self.next_frame = frame.number + frame.count

    def _make(self, frame: Frame) -> "_Offered":
        message = self._sender.data(
            frame.number,
            frames=frame.count,
            data=frame.parts or UNSET,
            frame=frame.layout,
            timestamp=frame.timestamp,
            acquisition_timestamp=frame.acquisition_timestamp,
            discard=frame.discard,
            retake=True if self._retake else UNSET,
            detector_specific=frame.detector_specific,
        )
        return _Offered(frame, message, (encode(message), *frame.payload))

    def close(self, ending: Ending) -> None:
        """Sends the series-end; raises `StinsError` if nobody takes it, and the series is closed all the same."""
        end = self._sender.end(ending.status, ending.reason or UNSET, ending.detector_specific)
        try:
            self._send("series-end", (encode(end),))
        except StinsError:
            self._sender = SeriesSender(end.message_id)
            raise

    def not_taken(self, what: str) -> StinsError:
        """The error that nobody takes messages."""
        return StinsError(
            f"{self._name}: no recorder took {what} from {self._endpoint} within {self._peer_timeout_s:g} s; "
            "is the recorder running, and fast enough?"
        )

    def _send(self, what: str, parts: tuple[Payload, ...]) -> None:
        if not self._link.send(parts, self._peer_timeout_s):
            raise self.not_taken(what)
