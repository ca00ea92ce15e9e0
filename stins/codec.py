"""Bytes to messages and back: JSON headers, checked once, at the edge.

Nothing here copies a binary part; `Decoder` only compares its length (and the twelve bytes in front of a
compressed one) with what the header says of it.
"""

import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NoReturn

import msgspec
from msgspec import UNSET

from .errors import MessageError
from .messages import (
    COMPRESSIONS,
    ITEM_BITS,
    SERIES_ARRAYS,
    Acquisition,
    Data,
    Detector,
    FrameLayout,
    Header,
    Packet,
    Part,
    Payload,
    SeriesEnd,
    SeriesInfo,
    SeriesStart,
    frame_count,
)

__all__ = ["Decoder", "Limits", "encode", "part_bytes"]

_JSON = msgspec.json.Encoder()
_STRUCTURES: Mapping[str, type[msgspec.Struct]] = {
    "series": SeriesInfo,
    "detector": Detector,
    "acquisition": Acquisition,
    "frame": FrameLayout,
}
_MESSAGES: Mapping[str, type[msgspec.Struct]] = {
    "series-start": SeriesStart,
    "data": Data,
    "series-end": SeriesEnd,
}
_FILTER_HEADER_BYTES = 12


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a receiver accepts; everything beyond is refused by name before anything is allocated."""

    header_bytes: int = 256 * 1024
    depth: int = 32
    dimensions: int = 4
    side: int = 65_536
    frame_bytes: int = 1 << 30
    parts: int = 64


def encode(header: Header) -> bytes:
    """The header as UTF-8 JSON; NaN and infinity, for which JSON has no word, become null."""
    return _JSON.encode(header)


def part_bytes(part: Part) -> int:
    """Size in bytes of the part's pixels when they are not compressed."""
    return (prod(part.shape) * ITEM_BITS[part.dtype] + 7) // 8


class Decoder:
    """Turns the parts of one ZeroMQ message into a checked `Packet`.

    A strict decoder refuses a key that the protocol doesn't know; a tolerant one moves it into
    `detector_specific` and names it in `Packet.moved`.
    """

    def __init__(self, *, strict: bool = False, limits: Limits | None = None) -> None:
        self._strict = strict
        self._limits = limits or Limits()
        self._json: msgspec.json.Decoder[Header] = msgspec.json.Decoder(SeriesStart | Data | SeriesEnd)
        # Frames of one series look alike: what was checked last needs no second look, only the lengths do.
        self._checked: tuple[Part, ...] = ()
        self._checked_frame: object = UNSET
        self._sizes: tuple[int, ...] = ()

    def decode(self, parts: Sequence[Payload]) -> Packet:
        """Raises `MessageError`, which names the key and the value, for anything that is not STINS 1."""
        if not parts:
            raise MessageError("got a message without parts, expected a JSON header")
        header, moved = self._header(parts[0])
        try:
            if type(header) is Data:
                self._check_data(header, parts)
            else:
                self._check_other(header, parts)
        except MessageError as error:
            error.message_id = header.message_id
            raise
        return Packet(header, tuple(parts[1:]), moved)

    def _header(self, raw: Payload) -> tuple[Header, tuple[str, ...]]:
        if len(raw) > self._limits.header_bytes:
            raise MessageError(f"header: got {len(raw)} bytes, expected at most {self._limits.header_bytes}")
        try:
            header, moved = self._json.decode(raw), ()
        except RecursionError:
            raise MessageError(
                f"header: nested too deep, expected at most {self._limits.depth} levels"
            ) from None
        except msgspec.ValidationError as error:
            header, moved = self._second_look(raw, error)
        except msgspec.DecodeError as error:
            raise MessageError(f"header: {error}; got {bytes(raw[:60])!r}, expected a JSON object") from None
        if header.detector_specific:
            self._check_depth(header.detector_specific, header.message_id)
        return header, moved

    def _second_look(self, raw: Payload, error: msgspec.ValidationError) -> tuple[Header, tuple[str, ...]]:
        """Off the fast path: an unknown key is moved (tolerant), anything else is explained and refused."""
        content = msgspec.json.decode(raw)
        if self._strict or "unknown field" not in str(error):
            _refuse(error, content)
        moved = _move_unknown(content)
        try:
            return msgspec.convert(content, SeriesStart | Data | SeriesEnd), moved
        except msgspec.ValidationError as second:
            _refuse(second, content)

    def _check_depth(self, tree: object, message_id: int) -> None:
        level: list[tuple[str, object]] = [("detector_specific", tree)]
        for _ in range(self._limits.depth):
            level = [(f"{path}.{key}", item) for path, value in level for key, item in _children(value)]
            if not level:
                return
        path = level[0][0]
        raise MessageError(
            f"{path[:120]}: nested deeper than {self._limits.depth} levels, which is the most", message_id
        )

    def _check_data(self, header: Data, parts: Sequence[Payload]) -> None:
        described = header.data or ()
        if described != self._checked or header.frame != self._checked_frame:
            sizes = _check_parts(described, self._limits)
            _check_frame(header.frame, described, self._limits)
            self._checked, self._checked_frame, self._sizes = described, header.frame, sizes
        if len(parts) - 1 != len(described):
            raise MessageError(f"data: got {len(parts) - 1} binary parts, expected {len(described)}")
        for index, size in enumerate(self._sizes):
            _check_payload(index, described[index], size, parts[index + 1])
        if header.detector_specific or isinstance(header.timestamp, tuple):
            _check_rows(header)

    def _check_other(self, header: Header, parts: Sequence[Payload]) -> None:
        described = header.data or () if isinstance(header, SeriesStart) else ()
        sizes = _check_parts(described, self._limits)
        if isinstance(header, SeriesStart):
            _check_frame(header.frame, described, self._limits)
        arrays = [
            (i, part, size)
            for i, (part, size) in enumerate(zip(described, sizes, strict=True))
            if part.name in SERIES_ARRAYS
        ]
        if len(parts) - 1 != len(arrays):
            raise MessageError(f"data: got {len(parts) - 1} binary parts, expected {len(arrays)}")
        for (index, part, size), payload in zip(arrays, parts[1:], strict=True):
            _check_payload(index, part, size, payload)


def _children(value: object) -> list[tuple[object, object]]:
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list):
        return [(index, item) for index, item in enumerate(value) if isinstance(item, dict | list)]
    return []


def _check_parts(parts: Sequence[Part], limits: Limits) -> tuple[int, ...]:
    if len(parts) > limits.parts:
        raise MessageError(f"data: got {len(parts)} parts, expected at most {limits.parts}")
    for index, part in enumerate(parts):
        _check_shape(f"data[{index}].shape", part.shape, limits)
        if part.dtype not in ITEM_BITS:
            raise MessageError(
                f"data[{index}].dtype: got {part.dtype!r}, expected one of {sorted(ITEM_BITS)}"
            )
        if part.compression not in COMPRESSIONS:
            raise MessageError(
                f"data[{index}].compression: got {part.compression!r}, expected one of {sorted(COMPRESSIONS)}"
            )
        if part_bytes(part) > limits.frame_bytes:
            raise MessageError(
                f"data[{index}].shape: got {list(part.shape)} of {part.dtype} ({part_bytes(part)} bytes), "
                f"expected at most {limits.frame_bytes} bytes"
            )
    return tuple(part_bytes(part) for part in parts)


def _check_shape(key: str, shape: tuple[int, ...], limits: Limits) -> None:
    if not 1 <= len(shape) <= limits.dimensions:
        raise MessageError(f"{key}: got {list(shape)}, expected 1 to {limits.dimensions} axes")
    if not all(1 <= side <= limits.side for side in shape):
        raise MessageError(f"{key}: got {list(shape)}, expected sides of 1 to {limits.side}")


def _check_frame(frame: object, parts: Sequence[Part], limits: Limits) -> None:
    if not isinstance(frame, FrameLayout):
        return
    _check_shape("frame.shape", frame.shape, limits)
    _check_shape("frame.chunks", frame.chunks, limits)
    if len(frame.chunks) != len(frame.shape):
        raise MessageError(
            f"frame.chunks: got {list(frame.chunks)}, expected {len(frame.shape)} axes as in frame.shape"
        )
    for index, part in enumerate(parts):
        if part.name not in SERIES_ARRAYS:
            _check_place(index, part, frame)


def _check_place(index: int, part: Part, frame: FrameLayout) -> None:
    """A part of a larger frame fills one of its chunks: its offset lies on the chunk grid, inside the frame."""
    offset = part.offset or ()
    if part.shape != frame.chunks and (1, *part.shape) != frame.chunks:
        raise MessageError(
            f"data[{index}].shape: got {list(part.shape)}, expected frame.chunks {list(frame.chunks)}"
        )
    on_grid = len(offset) == len(frame.shape) and all(
        o % chunk == 0 and o + chunk <= side
        for o, chunk, side in zip(offset, frame.chunks, frame.shape, strict=True)
    )
    if not on_grid:
        raise MessageError(
            f"data[{index}].offset: got {list(offset)}, expected a place on the grid of chunks "
            f"{list(frame.chunks)} inside {list(frame.shape)}"
        )


def _check_payload(index: int, part: Part, size: int, payload: Payload) -> None:
    got = len(payload)
    if part.compression == "none":
        if got != size:
            raise MessageError(
                f"data[{index}]: got {got} bytes, expected {size} for shape {list(part.shape)} of {part.dtype}"
            )
    elif part.compression == "cbf":
        if not got:
            raise MessageError(f"data[{index}]: got 0 bytes of cbf, expected a whole file")
    else:
        _check_filter_header(index, part, size, payload)


def _check_filter_header(index: int, part: Part, size: int, payload: Payload) -> None:
    """bslz4 and lz4 chunks begin with the raw size (8 bytes) and the block size (4), big-endian (HDF5 filters 32008, 32004)."""
    if len(payload) <= _FILTER_HEADER_BYTES:
        raise MessageError(
            f"data[{index}]: got {len(payload)} bytes of {part.compression}, expected more than 12"
        )
    raw, block = int.from_bytes(payload[:8], "big"), int.from_bytes(payload[8:12], "big")
    if raw != size:
        raise MessageError(
            f"data[{index}]: {part.compression} header says {raw} bytes, expected {size} "
            f"for shape {list(part.shape)} of {part.dtype}"
        )
    if not 0 < block <= 1 << 30:
        raise MessageError(
            f"data[{index}]: {part.compression} header says blocks of {block} bytes, expected 1 to 2^30"
        )


def _check_rows(header: Data) -> None:
    """Lists of numbers in one message are of equal length, one number a frame."""
    count = frame_count(header)
    for key in ("timestamp", "acquisition_timestamp"):
        value = getattr(header, key)
        if isinstance(value, tuple) and len(value) != count:
            raise MessageError(
                f"{key}: got {len(value)} values, expected {count}, as in the message's other lists"
            )


def _move_unknown(content: dict[str, Any]) -> tuple[str, ...]:
    """Moves every key the protocol doesn't know into detector_specific; a nested one under its dotted path."""
    kind = _MESSAGES[content["message_type"]]
    moved = {key: content.pop(key) for key in content.keys() - _keys(kind) - {"message_type"}}
    for name, structure in _STRUCTURES.items():
        moved |= _unknown_in(content.get(name), structure, name)
    for index, part in enumerate(content.get("data") or ()):
        moved |= _unknown_in(part, Part, f"data.{index}")
    free = content.setdefault("detector_specific", {})
    if isinstance(free, dict):
        for key, value in moved.items():
            free[_free_name(key, free)] = value
    return tuple(sorted(moved))


def _unknown_in(value: object, structure: type[msgspec.Struct], path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {}
    return {f"{path}.{key}": value.pop(key) for key in value.keys() - _keys(structure)}


def _keys(structure: type[msgspec.Struct]) -> set[str]:
    return set(structure.__struct_fields__)


def _free_name(key: str, taken: Mapping[str, Any]) -> str:
    while key in taken:
        key += "_"
    return key


_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")


def _refuse(error: msgspec.ValidationError, content: object) -> NoReturn:
    """msgspec names the path but not the value: add it, and name what a message lacks."""
    text = str(error)
    found = _PATH.search(text)
    path = found["path"] if found else "header"
    value = msgspec.json.encode(_look_up(content, path)).decode()
    message_id = content.get("message_id") if isinstance(content, dict) else None
    said = _PATH.sub("", text)
    raise MessageError(
        f"{path}: {said}; got {value[:80]}", message_id if isinstance(message_id, int) else None
    ) from None


def _look_up(content: object, path: str) -> object:
    for step in re.findall(r"[^.\[\]]+", path):
        if isinstance(content, list) and step.isdigit() and int(step) < len(content):
            content = content[int(step)]
        elif isinstance(content, dict) and step in content:
            content = content[step]
        else:
            return content
    return content
