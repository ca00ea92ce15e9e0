"""The few CBOR items that an image message is made of; all other messages are left to cbor2.

Sources: RFC 8949, section 3; RFC 8746, typed arrays; github.com/dectris/documentation, compression tag.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final

__all__ = [
    "COMPRESSED",
    "MULTI_DIM",
    "SELF_DESCRIBED",
    "TYPED",
    "array",
    "byte_string_head",
    "map_head",
    "tag",
    "text",
    "uint",
]

#: The tag 55799 in front of a message: what follows is CBOR.
SELF_DESCRIBED: Final = b"\xd9\xd9\xf7"
MULTI_DIM: Final = 40
COMPRESSED: Final = 56500
#: Tags of typed arrays, little-endian.
TYPED: Final = {"uint8": 64, "uint16": 69, "uint32": 70, "float32": 85}

_SHORT, _WORD, _LONG = Struct(">BH"), Struct(">BI"), Struct(">BQ")
_UINT, _BYTES, _TEXT, _ARRAY, _MAP, _TAG = 0, 2, 3, 4, 5, 6


def uint(value: int) -> bytes:
    """An unsigned integer, in as few bytes as it takes."""
    return _head(_UINT, value)


def text(value: str) -> bytes:
    """A text string."""
    content = value.encode()
    return _head(_TEXT, len(content)) + content


def byte_string_head(length: int) -> bytes:
    """What stands in front of the bytes of a byte string."""
    return _head(_BYTES, length)


def array(items: Sequence[bytes]) -> bytes:
    """An array of items that are encoded already."""
    return _head(_ARRAY, len(items)) + b"".join(items)


def map_head(pairs: int) -> bytes:
    """What stands in front of the keys and values of a map."""
    return _head(_MAP, pairs)


def tag(number: int) -> bytes:
    """What stands in front of a tagged item."""
    return _head(_TAG, number)


def _head(major: int, value: int) -> bytes:
    kind = major << 5
    if value < 24:
        return bytes((kind | value,))
    if value < 1 << 8:
        return bytes((kind | 24, value))
    if value < 1 << 16:
        return _SHORT.pack(kind | 25, value)
    if value < 1 << 32:
        return _WORD.pack(kind | 26, value)
    return _LONG.pack(kind | 27, value)
