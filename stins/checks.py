"""What a receiver checks of parts: shape, type, place in the frame, and length of the bytes. Nothing is copied."""

import re
from collections.abc import Callable, Sequence
from math import prod

import msgspec
from msgspec import UnsetType

from .errors import MessageError
from .messages import (
    COMPRESSIONS,
    ITEM_BITS,
    PART_NAME,
    PLAIN_NAME,
    Axis,
    Data,
    FrameLayout,
    Part,
    Payload,
    SeriesStart,
    is_series_array,
)

__all__ = [
    "Limits",
    "check_announced",
    "check_depth",
    "check_dropped",
    "check_frame",
    "check_names",
    "check_parts",
    "check_payload",
    "check_rows",
    "part_bytes",
]

# `$` alone would let a newline pass.
_NAME, _PLAIN_NAME = re.compile(PART_NAME), re.compile(PLAIN_NAME)
_FILTER_HEADER_BYTES = 12


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a receiver accepts; everything beyond is refused by name before anything is allocated."""

    header_bytes: int = 256 * 1024
    depth: int = 32
    dimensions: int = 4
    side: int = 65_536
    frame_bytes: int = 1 << 30
    parts: int = 64


def part_bytes(part: Part) -> int:
    """Size in bytes of the part's pixels when they are not compressed."""
    return (prod(part.shape) * ITEM_BITS[part.dtype] + 7) // 8


def check_depth(tree: object, limits: Limits) -> None:
    """Refuses free content that nests deeper than the limit, with the path to it."""
    level: list[tuple[str, object]] = [("detector_specific", tree)]
    for _ in range(limits.depth):
        level = [(f"{path}.{key}", item) for path, value in level for key, item in _children(value)]
        if not level:
            return
    raise MessageError(
        f"{level[0][0][:120]}: nested deeper than {limits.depth} levels, which is the most; "
        f"got {type(level[0][1]).__name__}"
    )


def _children(value: object) -> list[tuple[object, object]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(key, item) for key, item in items if isinstance(item, dict | list)]


def check_parts(parts: Sequence[Part], limits: Limits) -> tuple[int, ...]:
    """The uncompressed size of each part in bytes, after a look at its description."""
    if len(parts) > limits.parts:
        raise MessageError(f"data: got {len(parts)} parts, expected at most {limits.parts}")
    return tuple(_check_part(f"data[{index}]", part, limits) for index, part in enumerate(parts))


def _check_part(key: str, part: Part, limits: Limits) -> int:
    if not _NAME.fullmatch(part.name):
        raise MessageError(f"{key}.name: got {part.name[:80]!r}, expected letters, digits, _ and . (at most 63)")
    _check_shape(f"{key}.shape", part.shape, limits)
    if part.dtype not in ITEM_BITS:
        raise MessageError(f"{key}.dtype: got {part.dtype[:80]!r}, expected one of {sorted(ITEM_BITS)}")
    if part.compression not in COMPRESSIONS:
        raise MessageError(f"{key}.compression: got {part.compression[:80]!r}, expected one of {sorted(COMPRESSIONS)}")
    size = part_bytes(part)
    if size > limits.frame_bytes:
        raise MessageError(
            f"{key}.shape: got {list(part.shape)} of {part.dtype} ({size} bytes), "
            f"expected at most {limits.frame_bytes} bytes"
        )
    return size


def _check_shape(key: str, shape: tuple[int, ...], limits: Limits) -> None:
    if not 1 <= len(shape) <= limits.dimensions:
        raise MessageError(f"{key}: got {list(shape)[:8]}, expected 1 to {limits.dimensions} axes")
    if not all(1 <= side <= limits.side for side in shape):
        raise MessageError(f"{key}: got {list(shape)}, expected sides of 1 to {limits.side}")


def check_announced(parts: Sequence[Part]) -> None:
    """A part that only says what frames will look like has no compression: each frame has its own."""
    for index, part in enumerate(parts):
        if part.compression != "none" and not is_series_array(part.name):
            raise MessageError(
                f"data[{index}].compression: got {part.compression!r} in a series-start, expected none: "
                "each frame says its own"
            )


def check_names(start: SeriesStart) -> None:
    """Channels and axes have names that a file may have; those of axes that carry one thing differ."""
    acquisition = start.acquisition
    if isinstance(acquisition, UnsetType):
        return
    named = [(f"acquisition.channels.{name[:80]}", name) for name in acquisition.channels or ()]
    for chain in ("goniometer", "detector_axes"):
        axes = [(f"acquisition.{chain}[{i}]", axis) for i, axis in enumerate(getattr(acquisition, chain) or ())]
        _check_distinct("name", axes)
        named += [(f"{key}.name", axis.name) for key, axis in axes]
    for key, name in named:
        if not _PLAIN_NAME.fullmatch(name):
            raise MessageError(f"{key}: got {name[:80]!r}, expected letters, digits and _ (at most 63)")


def _no_array(_name: str) -> bool:
    """A data message has no arrays of the series."""
    return False


def check_frame(
    frame: FrameLayout | UnsetType,
    parts: Sequence[Part],
    limits: Limits,
    is_array: Callable[[str], bool] = _no_array,
) -> None:
    """Parts of one frame lie on its grid of chunks; parts that are frames of their own have names of their own.

    Parts whose name `is_array` (a series-start's) are no part of a frame; there is one of each at most.
    """
    named = [(f"data[{i}]", part) for i, part in enumerate(parts)]
    pixels = [(key, part) for key, part in named if not is_array(part.name)]
    _check_distinct("name", [(key, part) for key, part in named if is_array(part.name)])
    if not isinstance(frame, FrameLayout):
        _check_distinct("name", pixels)
        return
    _check_layout(frame, limits)
    _check_frame_bytes(frame, pixels[0][1].dtype if pixels else "uint8", limits)
    for key, part in pixels:
        if part.dtype != pixels[0][1].dtype:
            raise MessageError(f"{key}.dtype: got {part.dtype}, expected {pixels[0][1].dtype}, as in {pixels[0][0]}")
        _check_place(key, part, frame)
    _check_distinct("offset", pixels)


def _check_distinct(field: str, things: Sequence[tuple[str, Part | Axis]]) -> None:
    seen: dict[object, str] = {}
    for key, thing in things:
        value = getattr(thing, field)
        if value in seen:
            raise MessageError(f"{key}.{field}: got {value!r}, expected another than that of {seen[value]}")
        seen[value] = key


def _check_layout(frame: FrameLayout, limits: Limits) -> None:
    _check_shape("frame.shape", frame.shape, limits)
    _check_shape("frame.chunks", frame.chunks, limits)
    if len(frame.chunks) != len(frame.shape):
        raise MessageError(
            f"frame.chunks: got {list(frame.chunks)}, expected {len(frame.shape)} axes as in frame.shape"
        )


def _check_frame_bytes(frame: FrameLayout, dtype: str, limits: Limits) -> None:
    """Bounds what a recorder allocates for the whole frame."""
    size = (prod(frame.shape) * ITEM_BITS[dtype] + 7) // 8
    if size > limits.frame_bytes:
        raise MessageError(
            f"frame.shape: got {list(frame.shape)} of {dtype} ({size} bytes), "
            f"expected at most {limits.frame_bytes} bytes"
        )


def _check_place(key: str, part: Part, frame: FrameLayout) -> None:
    if frame.chunks not in {part.shape, (1, *part.shape)}:
        raise MessageError(f"{key}.shape: got {list(part.shape)}, expected frame.chunks {list(frame.chunks)}")
    offset = part.offset or ()
    on_grid = len(offset) == len(frame.shape) and all(
        start % chunk == 0 and start + chunk <= side
        for start, chunk, side in zip(offset, frame.chunks, frame.shape, strict=True)
    )
    if not on_grid:
        raise MessageError(
            f"{key}.offset: got {list(offset)}, expected a place on the grid of chunks "
            f"{list(frame.chunks)} inside {list(frame.shape)}"
        )


def check_payload(index: int, part: Part, size: int, payload: Payload) -> None:
    """The bytes are as many as the description says: `size` where they are not compressed."""
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
    """HDF5 filters 32008 and 32004 begin with the raw size (8 bytes) and the block size (4), big-endian."""
    kind = part.compression
    if len(payload) <= _FILTER_HEADER_BYTES:
        raise MessageError(f"data[{index}]: got {len(payload)} bytes of {kind}, expected more than 12")
    raw, block = int.from_bytes(payload[:8], "big"), int.from_bytes(payload[8:12], "big")
    if raw != size:
        raise MessageError(
            f"data[{index}]: {kind} header says {raw} bytes, expected {size} "
            f"for shape {list(part.shape)} of {part.dtype}"
        )
    if not 0 < block <= 1 << 30:
        raise MessageError(f"data[{index}]: {kind} header says blocks of {block} bytes, expected 1 to 2^30")


def check_dropped(dropped: Sequence[tuple[int, int]]) -> None:
    """Ranges go upwards: one that goes down would take frames out of the account."""
    for index, (first, last) in enumerate(dropped):
        if first > last:
            raise MessageError(f"frames_dropped[{index}]: got [{first}, {last}], expected [first, last], first <= last")


def check_rows(header: Data, count: int) -> None:
    """Lists of time stamps are of equal length, one a frame; a message with pixels carries one frame only."""
    for key in ("timestamp", "acquisition_timestamp"):
        value = getattr(header, key)
        if not isinstance(value, tuple):
            continue
        if header.data and len(value) != 1:
            raise MessageError(f"{key}: got {len(value)} values, expected 1: binary parts belong to one frame")
        if not value:
            raise MessageError(f"{key}: got an empty list, expected a number for each frame")
        if len(value) != count:
            raise MessageError(f"{key}: got {len(value)} values, expected {count}, as in the message's other lists")
