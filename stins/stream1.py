"""The older dialect, stream1: a lossless bridge both ways (docs/stins.md, "The older dialect").

There and back, each way, a message is equal JSON and the same bytes in the same order. What stream1 has and STINS
has not stands in `detector_specific` (`stream1`, `stream1_header`, `stream1_parts`; `stream1_absent` names what the
mapping would fill in, but was not there). What STINS has and stream1 has not stands under its own key, `stins`.
"""

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET

from .codec import Decoder, Limits
from .errors import MessageError
from .messages import Data, Header, Payload, SeriesStart, is_series_array

__all__ = ["from_stream1", "to_stream1"]

Json: TypeAlias = dict[str, object]

_TYPES: Final = {"header": "series-start", "image": "data", "series_end": "series-end"}
_HTYPES: Final = {message_type: htype for htype, message_type in _TYPES.items()}
#: The keys that have a place in STINS; all others go to detector_specific.stream1.
_MAPPED: Final = {
    "header": {"htype", "msg_number", "filename"},
    "image": {"htype", "msg_number", "frame", "shape", "type", "compression", "chunks", "discard"},
    "series_end": {"htype", "msg_number"},
}
_CARRIED: Final = "stins"


def from_stream1(parts: Sequence[Payload], limits: Limits | None = None) -> list[Payload]:
    """The STINS message for a stream1 message: its header as JSON, then the binary parts, uncopied.

    Raises `MessageError` for what is no stream1 message; values are for the `Decoder` to check.
    """
    if not parts:
        raise MessageError("got a message without parts, expected a stream1 header")
    head = _json_object("part 0", parts[0], limits or Limits())
    htype = head.get("htype")
    if not isinstance(htype, str) or htype not in _TYPES:
        raise MessageError(f"htype: got {str(htype)[:80]!r}, expected one of {sorted(_TYPES)}")
    carried = _carried(head, parts)
    if carried:
        return carried
    if htype == "image":
        header, payload = _image_up(head, len(parts) - 1), parts[1:]
    else:
        texts = [_json(f"part {index}", part) for index, part in enumerate(parts[1:], 1)]
        header, payload = _other_up(head, htype, texts), ()
    return [msgspec.json.encode(header), *payload]


def to_stream1(parts: Sequence[Payload]) -> list[Payload]:
    """The stream1 message for a STINS message; the binary parts uncopied.

    Raises `MessageError` for what is not strict STINS, and for parts that stream1 has no form for (of different
    shape, type or compression).
    """
    packet = Decoder(strict=True).decode(parts)
    header = packet.header
    head, texts = _image_down(header) if isinstance(header, Data) else _other_down(header)
    if isinstance(header, Data):
        back = _image_up(head, len(packet.payload))
    else:
        back = _other_up(head, _HTYPES[_tag(header)], texts)
    if (packet.payload and not isinstance(header, Data)) or not _same(back, msgspec.json.decode(parts[0])):
        # Not from a stream1 source: what stream1 has no place for must not get lost.
        head[_CARRIED] = msgspec.json.decode(parts[0])
    return [msgspec.json.encode(head), *map(msgspec.json.encode, texts), *packet.payload]


def _tag(header: Header) -> str:
    return str(header.__struct_config__.tag)


def _same(one: object, other: object) -> bool:
    return msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted")


def _carried(head: Json, parts: Sequence[Payload]) -> list[Payload] | None:
    """The STINS message that `to_stream1` put under its own key; None where that key is something else."""
    header = head.get(_CARRIED)
    if not isinstance(header, dict):
        return None
    binaries = _binaries(header, len(parts) - 1)
    message = [msgspec.json.encode(header), *parts[len(parts) - binaries :]]
    try:
        there = to_stream1(message)
    except MessageError:
        return None
    texts = len(parts) - binaries
    same = len(there) == len(parts) and all(
        _same(msgspec.json.decode(one), _json("header", other))
        for one, other in zip(there[:texts], parts[:texts], strict=True)
    )
    return message if same else None


def _binaries(header: Json, after_the_head: int) -> int:
    """How many binary parts the carried message has; in front of them stand the head and its JSON parts."""
    if header.get("message_type") == "data":
        return after_the_head
    described = header.get("data")
    names = [part.get("name") for part in described if isinstance(part, dict)] if isinstance(described, list) else []
    return min(after_the_head, sum(isinstance(name, str) and is_series_array(name) for name in names))


# -- stream1 to STINS -------------------------------------------------------------------------------


def _common_up(head: Json, htype: str, specific: Json, absent: list[str]) -> Json:
    header: Json = {"version": 1, "message_type": _TYPES[htype]}
    if "msg_number" in head:
        header["message_id"] = head["msg_number"]
    rest = {key: value for key, value in head.items() if key not in _MAPPED[htype]}
    specific = {**({"stream1": rest} if rest else {}), **specific}
    if absent:
        specific["stream1_absent"] = absent
    return header | ({"detector_specific": specific} if specific else {})


def _other_up(head: Json, htype: str, texts: Sequence[object]) -> Json:
    specific: Json = {}
    if htype == "series_end":
        return _common_up(head, htype, {"stream1_parts": list(texts)} if texts else {}, [])
    if texts:
        specific["stream1_header"] = texts[0]
    if texts[1:]:
        specific["stream1_parts"] = list(texts[1:])
    series = {"filename": head["filename"]} if "filename" in head else {}
    save_raw = texts[0].get("save_raw") if texts and isinstance(texts[0], dict) else None
    if save_raw is False:
        series["record"] = False
    header = _common_up(head, htype, specific, [] if "filename" in head else ["filename"])
    return header | ({"series": series} if series else {})


def _image_up(head: Json, binaries: int) -> Json:
    absent: list[str] = []
    layout = _layout_up(head, binaries, absent) if binaries or "shape" in head else {}
    header = _common_up(head, "image", {}, absent)
    if "frame" in head:
        header["frame_number"] = head["frame"]
    if "discard" in head:
        header["discard"] = head["discard"]
    return header | layout


def _layout_up(head: Json, binaries: int, absent: list[str]) -> Json:
    for key in ("shape", "type"):
        if key not in head:
            raise MessageError(f"{key}: got none, expected one: {binaries} binary parts follow")
    part: Json = {"name": "image", "shape": head["shape"], "dtype": head["type"]}
    if "compression" not in head:
        absent.append("compression")
    elif head["compression"] != "none":
        part["compression"] = head["compression"]
    if "chunks" not in head and binaries <= 1:
        return {"data": [part]}
    shape = _sides("shape", head["shape"])
    if "chunks" not in head:
        absent.append("chunks")
    chunks = _sides("chunks", head.get("chunks", [1, *shape[1:]]))
    parts = [part | {"shape": chunks, "offset": offset} for offset in _grid(shape, chunks, binaries)]
    return {"frame": {"shape": shape, "chunks": chunks}, "data": parts}


def _sides(key: str, value: object) -> list[int]:
    if not isinstance(value, list) or not value or not all(type(side) is int and side > 0 for side in value):
        raise MessageError(f"{key}: got {str(value)[:80]}, expected a list of positive integers")
    return value


def _grid(shape: Sequence[int], chunks: Sequence[int], binaries: int) -> list[list[int]]:
    """Where each binary part lies in the whole frame: the chunks in their order, the last axis fastest."""
    if len(shape) != len(chunks) or any(side % chunk for side, chunk in zip(shape, chunks, strict=True)):
        raise MessageError(f"chunks: got {list(chunks)}, expected a tiling of shape {list(shape)}")
    expected = prod(side // chunk for side, chunk in zip(shape, chunks, strict=True))
    if expected != binaries:
        raise MessageError(f"shape: got {list(shape)} in chunks {list(chunks)}, expected {binaries} of them")
    axes = (range(0, side, chunk) for side, chunk in zip(shape, chunks, strict=True))
    return [list(offset) for offset in product(*axes)]


# -- STINS to stream1 -------------------------------------------------------------------------------


def _common_down(header: Header) -> tuple[Json, Json, list[str]]:
    """The head so far, detector_specific, and the keys that the stream1 message didn't have."""
    specific: Json = header.detector_specific or {}
    rest, absent = specific.get("stream1"), specific.get("stream1_absent")
    head = {"htype": _HTYPES[_tag(header)], "msg_number": header.message_id}
    return (
        {**(rest if isinstance(rest, dict) else {}), **head},
        specific,
        absent if isinstance(absent, list) else [],
    )


def _other_down(header: Header) -> tuple[Json, list[object]]:
    head, specific, absent = _common_down(header)
    texts: list[object] = []
    if isinstance(header, SeriesStart):
        if "filename" not in absent:
            # Receivers in the field insist on the key; empty means that nothing is recorded.
            named = header.series is not UNSET and header.series.filename is not UNSET
            head["filename"] = header.series.filename if header.series and named else ""
        texts += [specific["stream1_header"]] if "stream1_header" in specific else _meta(header)
    more = specific.get("stream1_parts")
    return head, texts + (more if isinstance(more, list) else [])


def _meta(start: SeriesStart) -> list[object]:
    """What a stream1 receiver stores as meta data of the series: the detector's values and the series' settings."""
    meta: Json = {}
    for values in (start.detector, start.acquisition):
        meta |= msgspec.to_builtins(values) if values is not UNSET else {}
    if start.beamline is not UNSET:
        meta["beamline"] = msgspec.to_builtins(start.beamline)
    if start.series is not UNSET and not start.series.record:
        meta["save_raw"] = False
    return [meta] if meta else []


def _image_down(header: Data) -> tuple[Json, list[object]]:
    head, _, absent = _common_down(header)
    head["frame"] = header.frame_number
    if header.discard is not UNSET:
        head["discard"] = header.discard
    if header.data:
        head |= {key: value for key, value in _layout_down(header).items() if key not in absent}
    return head, []


def _layout_down(header: Data) -> Json:
    parts = header.data or ()
    first = parts[0]
    for index, part in enumerate(parts):
        if (part.shape, part.dtype, part.compression) != (first.shape, first.dtype, first.compression):
            raise MessageError(
                f"data[{index}]: got {list(part.shape)} {part.dtype} {part.compression}, expected as data[0], "
                f"{list(first.shape)} {first.dtype} {first.compression}: stream1 has one form for all parts"
            )
    head: Json = {"shape": list(first.shape), "type": first.dtype, "compression": first.compression}
    if header.frame:
        shape, chunks = list(header.frame.shape), list(header.frame.chunks)
        got = [list(part.offset or ()) for part in parts]
        if got != _grid(shape, chunks, len(parts)):
            raise MessageError(f"data: got parts at {got}, expected all chunks of the frame, the last axis fastest")
        head |= {"shape": shape, "chunks": chunks}
    elif len(parts) > 1:
        head |= {"shape": [len(parts), *first.shape], "chunks": [1, *first.shape]}
    return head


def _json(key: str, raw: Payload) -> object:
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"{key}: {error}; got {bytes(raw[:60])!r}, expected JSON") from None


def _json_object(key: str, raw: Payload, limits: Limits) -> Json:
    if len(raw) > limits.header_bytes:
        raise MessageError(f"{key}: got {len(raw)} bytes, expected at most {limits.header_bytes}")
    content = _json(key, raw)
    if not isinstance(content, dict):
        raise MessageError(f"{key}: got {bytes(raw[:60])!r}, expected a JSON object")
    return content
