"""STINS: the stream's meta data, and how it travels over ZeroMQ. Values, codec and machines; no I/O."""

from .acks import Ack, decode_ack, encode_ack
from .checkpoint import ReceiverCheckpoint
from .codec import Decoder, Limits, encode, part_bytes
from .errors import LocalProtocolError, MessageError, RemoteError, StinsError
from .messages import (
    UNSET,
    Acquisition,
    Axis,
    Beamline,
    Channel,
    Data,
    Detector,
    FrameLayout,
    Packet,
    Part,
    SeriesEnd,
    SeriesInfo,
    SeriesStart,
    Share,
)
from .ordering import ReorderWindow
from .receiver import (
    DiscardFrame,
    EndSeries,
    OpenSeries,
    Report,
    SeriesReceiver,
    StoreFrame,
)
from .ring import ReplayRing
from .sender import SeriesHeader, SeriesSender
from .series import Outcome, SeriesResult
from .spans import Spans

__all__ = [
    "UNSET",
    "Ack",
    "Acquisition",
    "Axis",
    "Beamline",
    "Channel",
    "Data",
    "Decoder",
    "Detector",
    "DiscardFrame",
    "EndSeries",
    "FrameLayout",
    "Limits",
    "LocalProtocolError",
    "MessageError",
    "OpenSeries",
    "Outcome",
    "Packet",
    "Part",
    "ReceiverCheckpoint",
    "RemoteError",
    "ReorderWindow",
    "ReplayRing",
    "Report",
    "SeriesEnd",
    "SeriesHeader",
    "SeriesInfo",
    "SeriesReceiver",
    "SeriesResult",
    "SeriesSender",
    "SeriesStart",
    "Share",
    "Spans",
    "StinsError",
    "StoreFrame",
    "decode_ack",
    "encode",
    "encode_ack",
    "part_bytes",
]
