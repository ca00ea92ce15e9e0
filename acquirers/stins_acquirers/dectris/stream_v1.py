"""SIMPLON stream v1 ("legacy") to our values: dheader, dimage, dseries_end; pixels stay as they came.

Source: DECTRIS SIMPLON API reference 1.8, chapter "stream"; the order of the optional parts as seen in captures.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any, TypeAlias, TypeVar

import lz4.block
import msgspec
from msgspec import UNSET

from stins import SeriesHeader
from stins.messages import Part, Payload

from ..backend import BackendError, Ending, Frame, Opening
from .config import acquisition, beamline, detector, frame_description, frames_expected
from .incoming import Identity, Incoming

__all__ = ["StreamV1"]

Json: TypeAlias = dict[str, Any]
H = TypeVar("H")

_ARRAYS = {
    "dflatfield-1.0": "flatfield",
    "dpixelmask-1.0": "pixel_mask",
    "dcountrate_table-1.0": "countrate_correction_table",
}
_ENCODING = re.compile(r"(?:bs(?P<bits>8|16|32|64)-)?(?P<lz4>lz4)?<")
_BITS = {"uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64, "float32": 32}


class _Header(msgspec.Struct):
    """Part 0 of every message."""

    htype: str
    series: int
    header_detail: str = ""
    frame: int = 0
    hash: str = ""


class _Array(msgspec.Struct):
    """What stands in front of a binary part; `shape` is [x, y], the fastest axis first."""

    htype: str
    shape: tuple[int, ...]
    type: str
    encoding: str = "<"
    size: int | None = None


class StreamV1:
    """Reads message by message and keeps the time of a series' first frame, nothing else.

    `config` is what the detector's configuration says, by SIMPLON's names, for headers that don't say it all.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self.config: Mapping[str, Any] = config or {}
        self._first_start_ns: int | None = None

    def read(self, parts: Sequence[Payload]) -> Incoming:
        """The message, of whatever series; raises `BackendError` that names the part and the value."""
        header = _parse("part 0", parts[0] if parts else b"", _Header)
        try:
            return self._incoming(header, parts)
        except msgspec.ValidationError as error:
            raise BackendError(f"{header.htype}: {error}") from None

    def _incoming(self, header: _Header, parts: Sequence[Payload]) -> Incoming:
        series = Identity(header.series)
        if header.htype == "dheader-1.0":
            self._first_start_ns = None
            opening, appendix = _opening(header, parts[1:], self.config)
            return Incoming(series, opening, appendix)
        if header.htype == "dimage-1.0":
            return Incoming(series, self._frame(header, parts[1:]))
        if header.htype == "dseries_end-1.0":
            return Incoming(series, Ending())
        raise BackendError(f"htype: got {header.htype!r}, expected dheader-1.0, dimage-1.0 or dseries_end-1.0")

    def _frame(self, header: _Header, parts: Sequence[Payload]) -> Frame:
        if len(parts) < 2:
            raise BackendError(f"dimage-1.0 {header.frame}: got {len(parts) + 1} parts, expected at least 3")
        part, payload = image_part(_parse("dimage_d-1.0", parts[0], _Array), parts[1])
        times = _parse("dconfig-1.0", parts[2], Json) if len(parts) > 2 else {}
        # start_time and stop_time are nanoseconds since the detector started to count, not since 1970: no
        # acquisition_timestamp can be made of them.
        specific: Json = {"hash": header.hash, **times}
        specific.pop("htype", None)
        if len(parts) > 3:
            specific["image_appendix"] = _text(parts[3])
        return Frame(
            number=header.frame,
            parts=(part,),
            payload=(payload,),
            timestamp=self._since_first(times.get("start_time")),
            detector_specific=specific,
        )

    def _since_first(self, start_ns: object) -> float | msgspec.UnsetType:
        if not isinstance(start_ns, int):
            return UNSET
        if self._first_start_ns is None:
            self._first_start_ns = start_ns
        return (start_ns - self._first_start_ns) / 1e9


def image_part(described: _Array, payload: Payload) -> tuple[Part, Payload]:
    """How the pixels are described, and the pixels, as HDF5's filters store them.

    `bs..-lz4<` is that already. A bare LZ4 block (`lz4<`) gets the 16 bytes in front that filter 32004 wants.
    """
    found = _ENCODING.fullmatch(described.encoding)
    bits = _BITS.get(described.type)
    if found is None or bits is None or int(found["bits"] or bits) != bits or (found["bits"] and not found["lz4"]):
        raise BackendError(
            f"dimage_d-1.0: got type {described.type!r} with encoding {described.encoding!r}, "
            "expected uint8, uint16 or uint32 with '<', 'lz4<' or 'bs<bits of the type>-lz4<'"
        )
    if described.size is not None and described.size != len(payload):
        raise BackendError(f"dimage_d-1.0: size: got {len(payload)} bytes, expected {described.size}")
    compression = "none" if not found["lz4"] else "bslz4" if found["bits"] else "lz4"
    # A detector has one threshold per frame in v1.
    part = Part(
        name="threshold_1", shape=tuple(reversed(described.shape)), dtype=described.type, compression=compression
    )
    return part, _framed(payload, bits // 8, described.shape) if compression == "lz4" else payload


def _framed(block: Payload, item: int, shape: Sequence[int]) -> bytes:
    size = item * prod(shape)
    # The filter takes a block as long as its content for uncompressed.
    content = lz4.block.decompress(bytes(block), uncompressed_size=size) if len(block) == size else block
    head = size.to_bytes(8, "big") + size.to_bytes(4, "big") + len(content).to_bytes(4, "big")
    # Copied, once: a binary part of a message is one buffer. Stream v2 has the framing, so nothing is copied there.
    return b"".join((head, content))


def _opening(header: _Header, parts: Sequence[Payload], known: Mapping[str, Any]) -> tuple[Opening, Json | str | None]:
    """The parts behind the first come as the header's detail has it: they are told apart by what they are."""
    said: Json = {}
    appendix: Json | str | None = None
    arrays: list[tuple[Part, Payload]] = []
    specific: Json = {"series": header.series, "header_detail": header.header_detail}
    for content, array, blob in _contents(parts):
        if array is None and not isinstance(content, str) and not said and header.header_detail != "none":
            said = dict(content)
        elif array is None:
            appendix = specific["header_appendix"] = content
        elif array.htype in _ARRAYS:
            shape = tuple(reversed(array.shape))
            arrays.append((Part(name=_ARRAYS[array.htype], shape=shape, dtype=array.type), blob))
        else:
            specific[array.htype] = f"left out: {len(blob)} bytes of {array.type}, shape {list(array.shape)}"
    config = {**known, **said}
    opening = Opening(
        header=SeriesHeader(
            detector=detector(config),
            acquisition=acquisition(config),
            beamline=beamline(config),
            data=(*frame_description(config), *(part for part, _ in arrays)) or UNSET,
            detector_specific={**specific, "config": config},
        ),
        payload=tuple(blob for _, blob in arrays),
        frames_expected=frames_expected(config),
    )
    return opening, appendix


def _contents(parts: Sequence[Payload]) -> Iterator[tuple[Json | str, _Array | None, Payload]]:
    """The JSON parts, each with its description and the binary part behind it where it announces one."""
    waiting = iter(parts)
    for raw in waiting:
        content = _maybe_json(raw)
        if isinstance(content, str) or "htype" not in content:
            yield content, None, b""
            continue
        array = msgspec.convert(content, _Array)
        blob = next(waiting, None)
        if blob is None:
            raise BackendError(f"{array.htype}: got no binary part behind it, expected one")
        yield content, array, blob


def _parse(where: str, raw: Payload, kind: type[H]) -> H:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError as error:
        raise BackendError(f"{where}: {error}; got {bytes(raw[:80])!r}") from None


def _maybe_json(raw: Payload) -> Json | str:
    """A JSON object, or the text that an appendix may be."""
    try:
        content = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return _text(raw)
    return content if isinstance(content, dict) else _text(raw)


def _text(raw: Payload) -> str:
    return bytes(raw).decode("utf-8", "replace")
