"""Reads CBOR (RFC 8949) without copying: a byte string is a slice of the message, whatever its length.

A general decoder copies each image: 10 to 40 ms for 10 MB, where this one takes 0.03 ms. It knows what DECTRIS'
stream v2 uses: typed arrays (RFC 8746) and compressed byte strings (tag 56500) become values of their own.
"""

import struct
from typing import Any

import msgspec

from stins.messages import Payload

from ..backend import BackendError

__all__ = ["CborError", "Compressed", "DateTime", "Tagged", "TypedArray", "read_cbor"]

#: Deeper nesting than any message has: data, channel, array, typed array, compression take 7.
_DEPTH = 24
#: Text beyond this is not what a detector says of itself.
_TEXT_BYTES = 1 << 20
#: Each takes some 60 bytes of memory when it is read, one byte of message when it is sent. A start message has 100.
_VALUES = 1 << 17
_SELF_DESCRIBED, _DATE, _ROWS, _COLUMNS, _COMPRESSED = 55799, 0, 40, 1040, 56500
_BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLES = 2, 3, 4, 5, 6, 7
_BREAK, _INDEFINITE = 0xFF, 31
_SIMPLE = {20: False, 21: True, 22: None, 23: None}
_FLOATS = {25: struct.Struct(">e"), 26: struct.Struct(">f"), 27: struct.Struct(">d")}
_HEADS = {24: struct.Struct(">B"), 25: struct.Struct(">H"), 26: struct.Struct(">I"), 27: struct.Struct(">Q")}
#: RFC 8746: the tag of a typed array is its type.
_DTYPES = {
    64: "|u1", 65: ">u2", 66: ">u4", 67: ">u8", 68: "|u1", 69: "<u2", 70: "<u4", 71: "<u8",
    72: "|i1", 73: ">i2", 74: ">i4", 75: ">i8", 77: "<i2", 78: "<i4", 79: "<i8",
    80: ">f2", 81: ">f4", 82: ">f8", 84: "<f2", 85: "<f4", 86: "<f8",
}  # fmt: skip


class CborError(BackendError):
    """The bytes are no CBOR, or more than a message of a detector may have."""


class Compressed(msgspec.Struct, frozen=True):
    """A compressed byte string: HDF5's framing, `item_bytes` the size of what was shuffled (0: nothing was)."""

    algorithm: str
    item_bytes: int
    data: Payload


class TypedArray(msgspec.Struct, frozen=True):
    """Numbers of one type: `dtype` as numpy writes it, `shape` slowest axis first; empty for a list of numbers."""

    dtype: str
    data: Payload | Compressed
    shape: tuple[int, ...] = ()


class DateTime(msgspec.Struct, frozen=True):
    """A point in time, as it was written."""

    text: str


class Tagged(msgspec.Struct, frozen=True):
    """A value under a tag that has no meaning here."""

    tag: int
    value: Any


def read_cbor(message: Payload) -> Any:
    """The one value that the message is; raises `CborError` that says where and what."""
    reader = _Reader(memoryview(message))
    try:
        value = reader.value(0)
    except (IndexError, struct.error):
        raise CborError(f"CBOR: got {len(message)} bytes, which end in the middle of a value") from None
    if reader.at != len(message):
        raise CborError(f"CBOR: got {len(message) - reader.at} bytes behind the value that ends at {reader.at}")
    return value


class _Reader:
    __slots__ = ("_buffer", "_left", "at")

    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer.cast("B")
        self._left = _VALUES
        self.at = 0

    def value(self, depth: int) -> Any:
        """The value that begins here; moves behind it."""
        if depth > _DEPTH:
            raise self._error(f"nested deeper than {_DEPTH} levels")
        head = self._buffer[self.at]
        self.at += 1
        major, info = head >> 5, head & 31
        number = info if info < 24 or major == _SIMPLES else self._number(major, info)
        if major == _TEXT:
            return self._text(number)
        if major < _BYTES:
            return -1 - number if major else number
        if major == _ARRAY:
            return [self.value(depth + 1) for _ in self._items(number, 1)]
        if major == _TAG:
            return self._tagged(number, depth)
        if major == _MAP:
            return {self._key(depth): self.value(depth + 1) for _ in self._items(number, 2)}
        return self._slice(number) if major == _BYTES else self._simple(number)

    def _number(self, major: int, info: int) -> int:
        """The argument behind the first byte; -1 for an array or map whose length is not told."""
        form = _HEADS.get(info)
        if form is None:
            if info == _INDEFINITE and major in (_ARRAY, _MAP):
                return -1
            raise self._error(f"additional information {info} of major type {major}, expected a length")
        (number,) = form.unpack_from(self._buffer, self.at)
        self.at += form.size
        return int(number)

    def _simple(self, info: int) -> Any:
        if (form := _FLOATS.get(info)) is not None:
            (number,) = form.unpack_from(self._buffer, self.at)
            self.at += form.size
            return number
        if info not in _SIMPLE:
            raise self._error(f"simple value {info}, expected false, true, null or a float")
        return _SIMPLE[info]

    def _slice(self, size: int) -> memoryview:
        start = self.at
        self.at = end = start + size
        if end > len(self._buffer):
            raise self._error(f"a string of {size} bytes, of which {len(self._buffer) - start} are there")
        return self._buffer[start:end]

    def _text(self, size: int) -> str:
        if size > _TEXT_BYTES:
            raise self._error(f"text of {size} bytes, expected at most {_TEXT_BYTES}")
        try:
            return str(self._slice(size), "utf-8")
        except UnicodeDecodeError as error:
            raise self._error(f"text that is not UTF-8: {error}") from None

    def _items(self, count: int, each: int) -> "range | _UntilBreak":
        """As often as the container has items; one that promises more than there are bytes is refused at once."""
        if count < 0:
            return _UntilBreak(self)
        if count * each > len(self._buffer) - self.at:
            raise self._error(f"{count} items, of which {len(self._buffer) - self.at} bytes are there")
        self._take(count)
        return range(count)

    def _take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise self._error(f"more than {_VALUES} values in one message")

    def _key(self, depth: int) -> str:
        key = self.value(depth + 1)
        if not isinstance(key, str):
            raise self._error(f"{type(key).__name__} as the key of a map, expected text")
        return key

    def _tagged(self, tag: int, depth: int) -> Any:
        value = self.value(depth + 1)
        if tag == _SELF_DESCRIBED:
            return value
        if (dtype := _DTYPES.get(tag)) is not None:
            if isinstance(value, memoryview | Compressed):
                return TypedArray(dtype, value)
        elif tag == _ROWS:
            return self._shaped(value)
        elif tag == _COMPRESSED:
            return self._compressed(value)
        elif tag == _DATE:
            if isinstance(value, str):
                return DateTime(value)
        elif tag == _COLUMNS:
            raise self._error("an array by columns (tag 1040), expected one by rows (tag 40)")
        else:
            return Tagged(tag, value)
        raise self._error(f"{type(value).__name__} under tag {tag}, expected bytes or text")

    def _shaped(self, value: Any) -> Any:
        match value:
            case [[*shape], TypedArray(dtype=dtype, data=data)] if all(type(side) is int for side in shape):
                return TypedArray(dtype, data, tuple(shape))
        raise self._error("something else under tag 40, expected its sides and a typed array")

    def _compressed(self, value: Any) -> Compressed:
        match value:
            case [str(algorithm), int(item), memoryview() as data]:
                return Compressed(algorithm, item, data)
        raise self._error("something else under tag 56500, expected [algorithm, item size, bytes]")

    def at_break(self) -> bool:
        """Whether a container whose length was not told ends here; moves behind its end."""
        if self._buffer[self.at] != _BREAK:
            self._take(1)
            return False
        self.at += 1
        return True

    def _error(self, problem: str) -> CborError:
        return CborError(f"CBOR at byte {self.at}: got {problem}")


class _UntilBreak:
    """Iterates until the container's end; what it gives is of no use."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    def __iter__(self) -> "_UntilBreak":
        return self

    def __next__(self) -> int:
        if self._reader.at_break():
            raise StopIteration
        return 0
