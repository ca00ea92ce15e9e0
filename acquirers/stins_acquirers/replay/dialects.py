"""What a capture speaks, and its messages as our values."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
from msgspec import UNSET

from stins import Decoder, SeriesEnd, SeriesHeader, SeriesStart
from stins.messages import Data, Payload, frame_count
from stins.stream1 import from_stream1

from ..backend import BackendError, Ending, Frame, Opening
from ..dectris import StreamV1, StreamV2
from ..dectris.incoming import Identity, Stream

__all__ = ["Dialect", "dialect_of"]


class Dialect(Protocol):
    """One way to write a series down."""

    end_message: str
    """What ends a series, for the error that it is missing."""

    def convert(self, parts: Sequence[Payload]) -> Opening | Frame | Ending:
        """One message as one of our values; raises `StinsError`."""


class _Simplon:
    """The stream of a DECTRIS detector, of either version: of one series, the one whose opening came last."""

    def __init__(self, stream: Stream, end_message: str) -> None:
        self._stream = stream
        self.end_message = end_message
        self._series: Identity | None = None

    def convert(self, parts: Sequence[Payload]) -> Opening | Frame | Ending:
        incoming = self._stream.read(parts)
        if isinstance(incoming.value, Opening):
            self._series = incoming.series
        elif incoming.series != self._series:
            raise BackendError(f"series: got {incoming.series}, expected {self._series}, whose opening came last")
        return incoming.value


class _Stins:
    end_message = "series-end"

    def __init__(self) -> None:
        # Tolerant, because real sources are: unknown keys move into detector_specific.
        self._decoder = Decoder()

    def convert(self, parts: Sequence[Payload]) -> Opening | Frame | Ending:
        packet = self._decoder.decode(parts)
        header = packet.header
        if isinstance(header, SeriesStart):
            return _opening(header, packet.payload)
        return _frame(header, packet.payload) if isinstance(header, Data) else _ending(header)


class _Stream1(_Stins):
    end_message = "series_end"

    def convert(self, parts: Sequence[Payload]) -> Opening | Frame | Ending:
        return super().convert(from_stream1(parts))


#: How each message of stream v2 begins: CBOR that says so, then the pair that comes first in its map.
_CBOR = b"\xd9\xd9\xf7"
_STREAM_V2_OPENS = b"dtypeestart"
#: Tag, head of the map (up to 2 bytes) and that pair.
_BEGINNING = 16


class _Head(msgspec.Struct):
    htype: str = ""
    message_type: str = ""


def dialect_of(parts: Sequence[Payload]) -> Dialect | None:
    """The dialect of a message that opens a series; None for any other message."""
    beginning = bytes(parts[0][:_BEGINNING])
    if beginning.startswith(_CBOR):
        return _Simplon(StreamV2(), "an end message") if _STREAM_V2_OPENS in beginning else None
    try:
        head = msgspec.json.decode(parts[0], type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BackendError(
            f"got a message that begins with {bytes(parts[0][:60])!r}, expected JSON, or stream v2's CBOR: {error}"
        ) from None
    if head.htype == "dheader-1.0":
        return _Simplon(StreamV1(), "dseries_end-1.0")
    if head.message_type == "series-start":
        return _Stins()
    return _Stream1() if head.htype == "header" else None


def _opening(header: SeriesStart, payload: tuple[Payload, ...]) -> Opening:
    expected = header.series.frames_expected if header.series else UNSET
    # The replay is a series of its own; what the captured one was called stays with it.
    was = {"arm_time": header.arm_time, "series": header.series or UNSET}
    captured = {key: msgspec.to_builtins(value) for key, value in was.items() if value is not UNSET}
    specific = {**(header.detector_specific or {}), **({"captured": captured} if captured else {})}
    return Opening(
        header=SeriesHeader(
            detector=header.detector,
            acquisition=header.acquisition,
            data=header.data,
            frame=header.frame,
            detector_specific=specific or UNSET,
        ),
        payload=payload,
        frames_expected=None if expected is UNSET else expected,
    )


def _frame(header: Data, payload: tuple[Payload, ...]) -> Frame:
    return Frame(
        number=header.frame_number,
        parts=header.data or (),
        payload=payload,
        layout=header.frame,
        timestamp=header.timestamp,
        acquisition_timestamp=header.acquisition_timestamp,
        discard=header.discard,
        retake=header.retake is True,
        frames_dropped=header.frames_dropped or (),
        detector_specific=header.detector_specific,
        count=frame_count(header),
    )


def _ending(header: SeriesEnd) -> Ending:
    return Ending(
        status=header.status or "finished",
        reason=header.reason or "",
        frames_dropped=header.frames_dropped or (),
        detector_specific=header.detector_specific,
    )
