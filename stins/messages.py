"""The values of STINS 1: three messages and what they are made of (docs/stins.md).

A key that is absent from a message is `UNSET` here; `null` is `None`. The two are kept apart because
the older dialect gives them different meanings.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from .metadata import PLAIN_NAME, Acquisition, Axis, Beamline, Channel, Detector, Natural, Value, Vector
from .share import Share

__all__ = [
    "COMPRESSIONS",
    "ITEM_BITS",
    "PART_NAME",
    "PLAIN_NAME",
    "SERIES_ARRAYS",
    "UNSET",
    "Acquisition",
    "Axis",
    "Beamline",
    "Channel",
    "Data",
    "Detector",
    "EndStatus",
    "FrameLayout",
    "Header",
    "Packet",
    "Part",
    "SeriesEnd",
    "SeriesInfo",
    "SeriesStart",
    "Share",
    "Vector",
    "frame_count",
    "is_series_array",
    "series_array",
]

#: Bits of one pixel, by dtype. All multi-byte types are little-endian on the wire.
ITEM_BITS: Mapping[str, int] = {
    "uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64,
    "int8": 8, "int16": 16, "int32": 32, "int64": 64,
    "float32": 32, "float64": 64, "mono12p": 12,
}  # fmt: skip
COMPRESSIONS = frozenset({"none", "bslz4", "lz4", "cbf"})
#: Names of the parts of a series-start that have bytes of their own (they belong to the whole series).
SERIES_ARRAYS = frozenset({"pixel_mask", "flatfield", "countrate_correction_table"})

#: What a part may be called: it becomes a name in a file, so it is one that NeXus allows.
PART_NAME = r"^[A-Za-z0-9_]([A-Za-z0-9_.]{0,61}[A-Za-z0-9_])?$"
_SERIES_ARRAY = rf"^({'|'.join(sorted(SERIES_ARRAYS))})(\..*)?$"

#: A frame number, or a count of frames: up to the largest integer that every JSON reader takes exactly.
FrameNumber: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Span: TypeAlias = tuple[FrameNumber, FrameNumber]
# These are checked in checks.py, once per layout: here they would be checked for every frame.
Side: TypeAlias = Annotated[int, msgspec.Meta(extra_json_schema={"minimum": 1})]
Shape: TypeAlias = Annotated[tuple[Side, ...], msgspec.Meta(extra_json_schema={"minItems": 1})]
PartName: TypeAlias = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": PART_NAME})]
Dtype: TypeAlias = Annotated[str, msgspec.Meta(extra_json_schema={"enum": sorted(ITEM_BITS)})]
Compression: TypeAlias = Annotated[str, msgspec.Meta(extra_json_schema={"enum": sorted(COMPRESSIONS)})]
EndStatus: TypeAlias = Literal["finished", "aborted", "failed"]
#: Anything with the buffer protocol; Python 3.11 has no name for it yet.
Payload: TypeAlias = bytes | memoryview


class Part(Value, frozen=True, kw_only=True):
    """One binary part: `shape` is slowest axis first, `offset` its place in the whole frame."""

    name: PartName
    shape: Shape
    dtype: Dtype
    compression: Compression = "none"
    offset: tuple[Natural, ...] | UnsetType = UNSET


class FrameLayout(Value, frozen=True, kw_only=True):
    """The whole frame's shape and its chunk's, when one frame comes in several parts."""

    shape: Shape
    chunks: Shape


#: A series-start announces what every frame will look like, but each frame says its own compression.
AnnouncedPart: TypeAlias = Annotated[
    Part,
    msgspec.Meta(
        extra_json_schema={
            "anyOf": [
                {"properties": {"name": {"pattern": _SERIES_ARRAY}}},
                {"properties": {"compression": {"const": "none"}}},
            ]
        }
    ),
]


class SeriesInfo(Value, frozen=True, kw_only=True):
    """What this series is: `filename` empty or null means that nothing is recorded.

    With a `share` this stream carries only some of its frames; `frames_expected` counts those.
    """

    id: str | UnsetType = UNSET
    source: str | UnsetType = UNSET
    filename: str | UnsetType | None = UNSET
    record: bool = True
    frames_expected: FrameNumber | UnsetType = UNSET
    share: Share | UnsetType = UNSET


class _Message(Value, frozen=True, kw_only=True, tag_field="message_type"):
    """The keys that every message has."""

    version: Literal[1]
    message_id: Natural
    detector_specific: dict[str, Any] | UnsetType = UNSET


class SeriesStart(_Message, frozen=True, kw_only=True, tag="series-start"):
    """Opens a series and says what every frame of it will look like."""

    arm_time: str | UnsetType = UNSET
    series: SeriesInfo | UnsetType = UNSET
    detector: Detector | UnsetType = UNSET
    acquisition: Acquisition | UnsetType = UNSET
    beamline: Beamline | UnsetType = UNSET
    data: tuple[AnnouncedPart, ...] | UnsetType = UNSET
    frame: FrameLayout | UnsetType = UNSET

    @property
    def recorded(self) -> bool:
        """Whether this series asks for a file."""
        return self.series is not UNSET and self.series.record and bool(self.series.filename)


class Data(_Message, frozen=True, kw_only=True, tag="data"):
    """One frame (or several, when its numbers are lists): `frame_number` counts from 0 in the series.

    `timestamp` is seconds since the start of the series, `acquisition_timestamp` nanoseconds since the
    Unix epoch. `retake` says that this frame and all after it are taken again (a paused scan).
    """

    frame_number: FrameNumber
    timestamp: float | tuple[float, ...] | UnsetType = UNSET
    acquisition_timestamp: int | tuple[int, ...] | UnsetType = UNSET
    data: tuple[Part, ...] | UnsetType = UNSET
    frame: FrameLayout | UnsetType = UNSET
    discard: bool | UnsetType = UNSET
    retake: bool | UnsetType = UNSET
    frames_dropped: tuple[Span, ...] | UnsetType = UNSET


class SeriesEnd(_Message, frozen=True, kw_only=True, tag="series-end"):
    """Closes a series; an absent `status` means finished.

    `frames_total`: how many frames the series has, of all shares; what came of others was taken again.
    """

    frames_sent: FrameNumber | UnsetType = UNSET
    frames_total: FrameNumber | UnsetType = UNSET
    frames_dropped: tuple[Span, ...] | UnsetType = UNSET
    status: EndStatus | UnsetType = UNSET
    reason: str | UnsetType = UNSET


Header: TypeAlias = SeriesStart | Data | SeriesEnd


class Packet(msgspec.Struct, frozen=True, gc=False):
    """A decoded message: its header, its binary parts (uncopied), and the keys a tolerant receiver moved."""

    header: Header
    payload: tuple[Payload, ...] = ()
    moved: tuple[str, ...] = ()


def series_array(name: str) -> tuple[str, str]:
    """Which array of the series a part is, and of which channel: `flatfield.threshold_2` is that of `threshold_2`.

    The channel is empty where the array belongs to all of them.
    """
    array, _, channel = name.partition(".")
    return array, channel


def is_series_array(name: str) -> bool:
    """Whether a part of a series-start belongs to the whole series and has bytes of its own."""
    return series_array(name)[0] in SERIES_ARRAYS


def frame_count(header: Data) -> int:
    """How many frames a data message carries: 1, or the common length of its lists of numbers.

    The lists are the time stamps; where a message has no binary part and its time stamps are no lists, all values
    of `detector_specific` together (real sources put their numbers there).
    """
    for value in (header.timestamp, header.acquisition_timestamp):
        if isinstance(value, tuple):
            return len(value)
    if header.data or not header.detector_specific:
        return 1
    values = header.detector_specific.values()
    lengths = {len(value) if isinstance(value, list) else 0 for value in values}
    return lengths.pop() if len(lengths) == 1 and lengths != {0} else 1
