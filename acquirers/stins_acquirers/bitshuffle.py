"""Decodes compressed chunks without HDF5, so that what a recorder stored can be proven by other means.

Layouts: HDF5 filters 32008 (bitshuffle, github.com/kiyo-masui/bitshuffle) and 32004 (LZ4, HDF Group's registered
filters). Slow and simple on purpose; nothing on the way of a frame uses it.
"""

from math import prod
from struct import unpack_from

import lz4.block
import numpy as np
from numpy.typing import NDArray

from stins import Part
from stins.messages import Payload

from .backend import BackendError

__all__ = ["decode_part"]

#: bitshuffle works on groups of eight elements; what is left over behind the last one is stored as it is.
_GROUP = 8


def decode_part(part: Part, payload: Payload) -> NDArray[np.generic]:
    """The part's pixels, in its shape; raises `BackendError` for a compression that is not known here."""
    size = prod(part.shape) * np.dtype(part.dtype).itemsize
    match part.compression:
        case "none":
            raw = bytes(payload)
        case "bslz4":
            raw = _bslz4(bytes(payload), np.dtype(part.dtype).itemsize)
        case "lz4":
            raw = _lz4(bytes(payload))
        case other:
            raise BackendError(f"compression: got {other!r}, expected none, bslz4 or lz4")
    if len(raw) != size:
        raise BackendError(f"{part.name}: got {len(raw)} bytes decoded, expected {size}")
    return np.frombuffer(raw, np.dtype(part.dtype).newbyteorder("<")).reshape(part.shape)


def _bslz4(chunk: bytes, item: int) -> bytes:
    """Bytes 0-7 raw size, 8-11 block size in bytes, then per block its size and the LZ4 block (big-endian)."""
    total, block_bytes = unpack_from(">QI", chunk)
    grouped = total - total % (item * _GROUP)
    out, at = [], 12
    for start in range(0, grouped, block_bytes):
        length = min(block_bytes, grouped - start)
        (packed,) = unpack_from(">I", chunk, at)
        block = lz4.block.decompress(chunk[at + 4 : at + 4 + packed], uncompressed_size=length)
        out.append(_unshuffle(block, item))
        at += 4 + packed
    return b"".join([*out, chunk[at : at + total - grouped]])


def _unshuffle(block: bytes, item: int) -> bytes:
    """A block holds bit 0 of all its elements, then bit 1 of all of them, ...: the transpose is the elements."""
    bits = np.unpackbits(np.frombuffer(block, np.uint8), bitorder="little").reshape(item * 8, -1)
    return np.packbits(bits.T, bitorder="little").tobytes()


def _lz4(chunk: bytes) -> bytes:
    """Bytes 0-7 raw size, 8-11 block size, then per block its size and the LZ4 block, or the raw bytes if as long."""
    total, block_bytes = unpack_from(">QI", chunk)
    out, at = [], 12
    for start in range(0, total, block_bytes):
        length = min(block_bytes, total - start)
        (packed,) = unpack_from(">I", chunk, at)
        block = chunk[at + 4 : at + 4 + packed]
        out.append(block if packed == length else lz4.block.decompress(block, uncompressed_size=length))
        at += 4 + packed
    return b"".join(out)
