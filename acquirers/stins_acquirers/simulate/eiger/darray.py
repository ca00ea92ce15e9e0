"""Two-dimensional arrays as SIMPLON sends and takes them: as JSON (`darray`), or as TIFF.

Sources: SIMPLON API reference 1.8, section "arrays"; TIFF revision 6.0 (one uncompressed strip, little-endian).
"""

import base64
import binascii
import struct
from math import prod
from struct import pack, unpack_from
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from .keys import RefusedError

__all__ = ["from_json", "from_tiff", "to_json", "to_tiff"]

_TYPES: Final = {"<u4": np.dtype("<u4"), "<f4": np.dtype("<f4")}
_MOST_BYTES: Final = 128 << 20

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_OFFSETS, _SAMPLES, _ROWS, _COUNTS, _FORMAT = 273, 277, 278, 279, 339
_SHORT, _LONG = 3, 4
_UNCOMPRESSED, _BLACK_IS_ZERO = 1, 1
_FORMATS: Final = {"u": 1, "i": 2, "f": 3}


class _Array(msgspec.Struct):
    shape: tuple[int, int]
    type: str
    data: str
    filters: tuple[str, ...] = ("base64",)


def to_json(values: NDArray[Any]) -> dict[str, Any]:
    """The `darray` object; its shape is [width, height]."""
    return {
        "__darray__": [1, 0, 0],
        "type": values.dtype.str,
        "shape": list(reversed(values.shape)),
        "filters": ["base64"],
        "data": base64.b64encode(values.tobytes()).decode(),
    }


def from_json(content: Any) -> NDArray[Any]:
    """The array of such an object, [rows, columns]; raises `RefusedError`."""
    try:
        found = msgspec.convert(content, _Array)
        raw = base64.b64decode(found.data, validate=True)
    except (msgspec.ValidationError, binascii.Error) as error:
        raise RefusedError(f"darray: {error}") from None
    dtype = _TYPES.get(found.type)
    if dtype is None or found.filters != ("base64",):
        raise RefusedError(
            f"darray: got type {found.type!r}, filters {list(found.filters)}, expected <u4 or <f4, base64"
        )
    if len(raw) != prod(found.shape) * dtype.itemsize or min(found.shape) < 1:
        raise RefusedError(f"darray: got {len(raw)} bytes, expected {prod(found.shape) * dtype.itemsize}")
    return np.frombuffer(raw, dtype).reshape(found.shape[1], found.shape[0])


def to_tiff(values: NDArray[Any]) -> bytes:
    """The array [rows, columns] as a TIFF file."""
    rows, columns = values.shape
    raw = values.tobytes()
    entries = [
        (_WIDTH, _LONG, columns),
        (_HEIGHT, _LONG, rows),
        (_BITS, _SHORT, values.dtype.itemsize * 8),
        (_COMPRESSION, _SHORT, _UNCOMPRESSED),
        (_PHOTOMETRIC, _SHORT, _BLACK_IS_ZERO),
        (_OFFSETS, _LONG, 8),
        (_SAMPLES, _SHORT, 1),
        (_ROWS, _LONG, rows),
        (_COUNTS, _LONG, len(raw)),
        (_FORMAT, _SHORT, _FORMATS[values.dtype.kind]),
    ]
    at = 8 + len(raw)
    pad = at % 2
    directory = b"".join(pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    head = pack("<2sHI", b"II", 42, at + pad)
    return head + raw + bytes(pad) + pack("<H", len(entries)) + directory + pack("<I", 0)


def from_tiff(content: bytes) -> NDArray[Any]:
    """The first image of a TIFF file: one sample per pixel, not compressed, little-endian; raises `RefusedError`."""
    try:
        tags = _tags(content)
        shape = (tags[_HEIGHT][0], tags[_WIDTH][0])
        bits, kind = tags[_BITS][0], tags.get(_FORMAT, (1,))[0]
        plain = tags.get(_COMPRESSION, (1,))[0] == _UNCOMPRESSED and tags.get(_SAMPLES, (1,))[0] == 1
        if sum(tags[_COUNTS]) > len(content):
            raise ValueError("its strips are longer than the file")
        strips = zip(tags[_OFFSETS], tags[_COUNTS], strict=True)
        raw = b"".join(content[at : at + count] for at, count in strips)
    except (KeyError, IndexError, ValueError) as error:
        raise RefusedError(f"TIFF: cannot be read: {error}") from None
    dtype = {(32, 1): np.dtype("<u4"), (32, 3): np.dtype("<f4")}.get((bits, kind))
    if dtype is None or not plain or len(raw) != prod(shape) * 4:
        raise RefusedError(
            f"TIFF: got {bits} bits, format {kind}, {len(raw)} bytes; expected 32 bits, uncompressed, {shape}"
        )
    return np.frombuffer(raw, dtype).reshape(shape)


def _tags(content: bytes) -> dict[int, tuple[int, ...]]:
    try:
        mark, magic, at = unpack_from("<2sHI", content)
        if (mark, magic) != (b"II", 42):
            raise ValueError("not a little-endian TIFF")
        (count,) = unpack_from("<H", content, at)
        return {
            tag: _values(content, at + 2 + 12 * index + 8, kind, number)
            for index in range(count)
            for tag, kind, number in [unpack_from("<HHI", content, at + 2 + 12 * index)]
            if kind in (_SHORT, _LONG)
        }
    except struct.error as problem:
        raise ValueError(str(problem)) from None


def _values(content: bytes, at: int, kind: int, count: int) -> tuple[int, ...]:
    letter, size = ("H", 2) if kind == _SHORT else ("I", 4)
    if count * size > 4:
        (at,) = unpack_from("<I", content, at)
    return unpack_from(f"<{min(count, 1 << 16)}{letter}", content, at)
