"""Makes the messages of a series from what a backend hands over, and puts them on the link."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET

from stins import Decoder, Limits, MessageError, SeriesHeader, SeriesSender, StinsError, encode
from stins.checks import check_depth
from stins.messages import Data, Payload
from stins.transport import Link

from .backend import Ending, Frame

__all__ = ["Outbox", "frames_up_to"]

#: What a receiver takes if it is not told otherwise.
_LIMITS = Limits()
_MOST_BYTES: Final = _LIMITS.header_bytes
#: What may hold something that holds something.
_NESTED: Final = frozenset({dict, list, tuple})


class _Offered(msgspec.Struct, frozen=True, gc=False):
    """A frame whose message is made and found no room yet."""

    frame: Frame
    message: Data
    parts: tuple[Payload, ...]


def frames_up_to(last: int, ending: Ending) -> int:
    """How many frames a series has whose frames end at `last`, or at the last that its source lost behind them."""
    return max([last, *(lost + 1 for _, lost in ending.frames_dropped)])


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
        self._frames = 0
        self.sent = 0
        self.dropped = 0
        #: How many of those the source itself did not give.
        self.not_given = 0
        self.next_frame = 0

    def open(self, header: SeriesHeader, payload: tuple[Payload, ...]) -> None:
        """Sends the series-start; raises `StinsError` if nobody takes it, and no series is open then."""
        start = self._sender.start(header)
        try:
            parts = (encode(start), *payload)
            # What every receiver would refuse is not sent: who arms the detector is the one who can mend it.
            Decoder(strict=True, limits=_LIMITS).decode(parts)
            self._send("series-start", parts)
        except Exception as error:
            self._sender = SeriesSender(start.message_id)
            if isinstance(error, MessageError):
                raise StinsError(f"{self._name}: series-start: no receiver would take it: {error}") from error
            raise
        self.sent = self.dropped = self.not_given = self.next_frame = self._frames = 0
        self._retake = False

    def rewind(self, first_frame: int) -> None:
        """The next frame is `first_frame`, taken again if it was sent before."""
        self._retake = self._retake or first_frame < self.next_frame
        self.next_frame = first_frame

    def offer(self, frame: Frame) -> bool:
        """Sends a frame if there is room for it; else it may be offered again, or dropped.

        Raises `StinsError` for one that every receiver would refuse.
        """
        offered = self._offered
        if offered is None or offered.frame is not frame:
            self._offered = offered = self._make(frame)
            self._check_header(offered)
        if not self._link.send(offered.parts, header=offered.message):
            return False
        self._offered = None
        self._retake = False
        self.sent += frame.count
        self.next_frame = self._frames = frame.number + frame.count
        return True

    def drop(self, frame: Frame) -> None:
        """Counts a frame that nobody takes; the next message names it."""
        if self._offered is not None and self._offered.frame is frame:
            self._sender.unsend(self._offered.message, frame.count)
            self._offered = None
        else:
            self.declare(frame.frames_dropped)
            self._sender.drop(frame.number, frame.number + frame.count - 1)
        self.dropped += frame.count
        self.next_frame = self._frames = frame.number + frame.count

    def declare(self, lost: Sequence[tuple[int, int]]) -> None:
        """What the source itself lost counts as dropped, as far as it belongs to this stream."""
        before = self._sender.frames_dropped
        for first, last in lost:
            self._sender.drop(first, last)
        declared = self._sender.frames_dropped - before
        self.dropped += declared
        self.not_given += declared

    def _make(self, frame: Frame) -> "_Offered":
        if frame.frames_dropped:
            self.declare(frame.frames_dropped)
        message = self._sender.data(
            frame.number,
            frames=frame.count,
            data=frame.parts or UNSET,
            frame=frame.layout,
            timestamp=frame.timestamp,
            acquisition_timestamp=frame.acquisition_timestamp,
            discard=frame.discard,
            retake=True if self._retake or frame.retake else UNSET,
            detector_specific=frame.detector_specific,
        )
        return _Offered(frame, message, (encode(message), *frame.payload))

    def close(self, ending: Ending, frames_total: int | None = None) -> None:
        """Sends the series-end; raises `StinsError` if nobody takes it, and the series is closed all the same.

        `frames_total` is that of the whole series, where this stream has only a share of it.
        """
        self.declare(ending.frames_dropped)
        if frames_total is None:
            frames_total = frames_up_to(self._frames, ending)
        end = self._sender.end(ending.status, ending.reason or UNSET, ending.detector_specific, frames_total)
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

    def no_room(self, what: str) -> StinsError:
        """The error that a frame found no room, where that is to stop the series."""
        return StinsError(
            f"{self._name}: no room for {what} at {self._endpoint}, and stream.when_full is `stop`; is the recorder "
            "running, and fast enough, or stream.ring_bytes too small?"
        )

    def _check_header(self, offered: _Offered) -> None:
        """The one thing of a frame that grows with what a backend tells of it; decoding each would cost 4 us."""
        frame = offered.frame
        if (size := len(offered.parts[0])) > _MOST_BYTES:
            raise StinsError(
                f"{self._name}: frame {frame.number}: got a header of {size} bytes, expected at most {_MOST_BYTES}"
            )
        specific = frame.detector_specific
        if not specific or _NESTED.isdisjoint(map(type, specific.values())):
            return
        try:
            check_depth(specific, _LIMITS)
        except MessageError as error:
            raise StinsError(f"{self._name}: frame {frame.number}: {error}") from error

    def _send(self, what: str, parts: tuple[Payload, ...]) -> None:
        if not self._link.send(parts, self._peer_timeout_s):
            raise self.not_taken(what)
