"""Pixels of a CBF file: what a part with compression `cbf` holds. The one module here that needs numpy.

Both ends need it: a recorder stores the pixels, an acquirer may be told to send them instead of the file. Nothing of
`stins` imports it, so that who only speaks the protocol needs no numpy.

Sources: CBFlib's manual, section 3.3.3 (byte-offset compression), and imgCIF's MIME header of a binary section.
"""

import re
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from .errors import CbfError
from .messages import Payload

__all__ = ["CbfBinary", "locate", "unpack"]

#: What stands between the header of a binary section and its bytes.
_START = b"\x0c\x1a\x04\xd5"
#: A detector writes some 2 kB of header, a template of the user's some more.
_MOST_HEADER = 1 << 16
_MOST_PIXELS = 1 << 28
_NUMBER = re.compile(
    rb"X-Binary-(Size|Number-of-Elements|Size-Fastest-Dimension|Size-Second-Dimension):\s*(\d{1,12})\b"
)
_NEEDED = ("Size", "Number-of-Elements", "Size-Fastest-Dimension", "Size-Second-Dimension")
_TYPE = re.compile(rb'X-Binary-Element-Type:\s*"?([^"\r\n]*)')
_CODING = re.compile(rb'conversions\s*=\s*"?([^"\s;]*)', re.IGNORECASE)
#: Marks a difference that is longer than a byte: 2 bytes follow; where they are 0x8000, 4 more, and so on.
_LONGER = 0x80
_BLOCK = 1 << 17
_LENGTHS = ((3, 1, 2), (7, 3, 4), (15, 7, 8))  # of the whole, where its value stands, and of the value


class CbfBinary(msgspec.Struct, frozen=True):
    """Where the packed pixels stand: `size` bytes from byte `start` on; `shape` is rows, columns of int32."""

    start: int
    size: int
    shape: tuple[int, int]


def locate(content: Payload) -> CbfBinary:
    """Finds the image in a CBF file without unpacking it.

    Raises:
        CbfError: there is none, it is of another kind than byte-offset int32, or the file ends before it does.
    """
    head = bytes(content[:_MOST_HEADER])
    at = head.find(_START)
    if at < 0:
        raise CbfError(f"got {len(content)} bytes without the mark of a binary section in the first {len(head)}")
    header = head[:at]
    numbers = {name.decode(): int(value) for name, value in _NUMBER.findall(header)}
    if absent := [f"X-Binary-{name}" for name in _NEEDED if name not in numbers]:
        raise CbfError(f"got a header without {', '.join(absent)}")
    _check_kind(header)
    size, count, columns, rows = (numbers[name] for name in _NEEDED)
    if not 0 < count == rows * columns <= _MOST_PIXELS:
        raise CbfError(f"got {count} pixels, expected {rows} x {columns}, and at most {_MOST_PIXELS}")
    start = at + len(_START)
    if len(content) < start + size:
        raise CbfError(f"got {len(content) - start} bytes of pixels, expected {size}")
    return CbfBinary(start, size, (rows, columns))


def _check_kind(header: bytes) -> None:
    for pattern, expected in ((_CODING, "x-CBF_BYTE_OFFSET"), (_TYPE, "signed 32-bit integer")):
        found = pattern.search(header)
        got = found[1].decode("ascii", "replace").strip() if found else "nothing"
        if got.lower() != expected.lower():
            raise CbfError(f"got pixels of kind {got!r}, expected {expected!r}")


def unpack(content: Payload) -> NDArray[np.int32]:
    """The pixels of a CBF file, [rows, columns].

    Raises:
        CbfError: see `locate`; or the packed bytes hold another number of pixels than the header says.
    """
    binary = locate(content)
    packed = np.frombuffer(content, np.uint8, binary.size, binary.start)
    pixels = np.empty(binary.shape, np.int32)
    _unpack_differences(packed, pixels.reshape(-1))
    # What does not fit is cut off, by whoever packed it and here: int32 begins anew at the other end.
    return np.cumsum(pixels, dtype=np.int32, out=pixels.reshape(-1)).reshape(binary.shape)


def _unpack_differences(packed: NDArray[np.uint8], into: NDArray[np.int32]) -> None:
    """From pixel to pixel, a block at a time: what is in between stays in the processor's cache."""
    at, filled = 0, 0
    while at < len(packed):
        differences, taken = _differences(packed[at : at + _BLOCK])
        if not taken:
            raise CbfError(f"got a difference at byte {at} that does not end with the {len(packed)} bytes")
        at += taken
        if filled + len(differences) > len(into):
            raise CbfError(f"got more than {len(into)} pixels in {len(packed)} bytes, expected {len(into)}")
        into[filled : filled + len(differences)] = differences
        filled += len(differences)
    if filled != len(into):
        raise CbfError(f"got {filled} pixels in {len(packed)} bytes, expected {len(into)}")


def _differences(block: NDArray[np.uint8]) -> tuple[NDArray[np.integer[Any]], int]:
    """The differences that begin and end in a block, and where the first begins that does not end in it.

    Most take one byte; the few others are looked at together, never one by one in Python.
    """
    marks = np.flatnonzero(block == _LONGER)
    if not len(marks):
        return block.view(np.int8), len(block)
    ahead = np.concatenate([block, np.zeros(_LENGTHS[-1][0], np.uint8)])
    lengths = _lengths(ahead, marks)
    real = _real(marks, marks + lengths)
    marks, lengths = marks[real], lengths[real]
    taken = len(block)
    if marks[-1] + lengths[-1] > taken:
        taken = int(marks[-1])
        marks, lengths = marks[:-1], lengths[:-1]
    first = np.ones(taken, np.bool_)
    for length, at, size in _LENGTHS:
        of_length = marks[lengths >= length] if length > 3 else marks
        for byte in range(at, at + size):
            first[of_length + byte] = False
    differences = block[:taken].view(np.int8)[first].astype(np.int32)
    index = marks - np.cumsum(lengths - 1) + (lengths - 1)
    for length, at, size in _LENGTHS:
        chosen = lengths == length
        differences[index[chosen]] = _values(ahead, marks[chosen] + at, size).astype(np.int32)
    return differences, taken


def _lengths(ahead: NDArray[np.uint8], marks: NDArray[np.intp]) -> NDArray[np.intp]:
    """How long the difference at each mark is, if a difference begins there."""
    lengths = np.full(len(marks), _LENGTHS[0][0], np.intp)
    longer = np.arange(len(marks))
    for (_, at, size), (length, _, _) in pairwise(_LENGTHS):
        longer = longer[_values(ahead, marks[longer] + at, size) == -(1 << (8 * size - 1))]
        if not len(longer):
            break
        lengths[longer] = length
    return lengths


def _values(ahead: NDArray[np.uint8], at: NDArray[np.intp], size: int) -> NDArray[np.integer[Any]]:
    """The little-endian integers of 2, 4 or 8 bytes that begin there."""
    dtype = np.dtype(f"<i{size}")
    everywhere: NDArray[np.integer[Any]] = np.ndarray(len(ahead) - size + 1, dtype, ahead, strides=(1,))
    return everywhere[at]


def _real(marks: NDArray[np.intp], ends: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which marks are one: the same byte also stands inside longer differences.

    One behind the end of all before it is; what is left in doubt (some in a thousand) is gone through in order.
    """
    real = np.ones(len(marks), np.bool_)
    real[1:] = marks[1:] >= np.maximum.accumulate(ends)[:-1]
    doubtful = np.flatnonzero(~real)
    before, end, found = -1, 0, []
    columns = (doubtful, marks[doubtful], ends[doubtful], ends[doubtful - 1])
    for index, at, own_end, end_before in zip(*(column.tolist() for column in columns), strict=True):
        if index - 1 != before:
            end = end_before
        if at >= end:
            found.append(index)
            end = own_end
        before = index
    real[found] = True
    return real
