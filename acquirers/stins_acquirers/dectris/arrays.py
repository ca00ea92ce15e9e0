"""Arrays of a CBOR message as parts of ours: described, not touched."""

from typing import Any

import msgspec

from stins.messages import Part, Payload

from ..backend import BackendError
from .cbor import Compressed, DateTime, TypedArray

__all__ = ["array_part", "plain"]

#: What STINS carries: little-endian.
_DTYPES = {
    "|u1": "uint8", "<u2": "uint16", "<u4": "uint32", "<u8": "uint64",
    "|i1": "int8", "<i2": "int16", "<i4": "int32", "<i8": "int64", "<f4": "float32", "<f8": "float64",
}  # fmt: skip


def array_part(where: str, name: str, array: Any) -> tuple[Part, Payload]:
    """How the numbers are described, and the numbers as they are; raises `BackendError` for what HDF5 can't take."""
    if not isinstance(array, TypedArray) or not array.shape:
        raise BackendError(f"{where}: got {type(array).__name__}, expected a typed array with its sides")
    dtype, data = _DTYPES.get(array.dtype), array.data
    if dtype is None:
        raise BackendError(f"{where}: got numbers of {array.dtype!r}, expected one of {', '.join(_DTYPES)}")
    if not isinstance(data, Compressed):
        return Part(name=name, shape=array.shape, dtype=dtype), data
    item = int(array.dtype[2:])
    if (data.algorithm, data.item_bytes) not in {("bslz4", item), ("lz4", 0), ("lz4", item)}:
        raise BackendError(
            f"{where}: got compression {data.algorithm!r} of items of {data.item_bytes} bytes, expected bslz4 of items "
            f"of {item} bytes, or lz4"
        )
    return Part(name=name, shape=array.shape, dtype=dtype, compression=data.algorithm), data.data


def plain(value: Any) -> Any:
    """Free content as JSON has it."""
    match value:
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case DateTime(text=text):
            return text
        case memoryview():
            return f"{len(value)} bytes"
        case msgspec.Struct():
            return f"{type(value).__name__} {value!r}"[:200]
    return value
