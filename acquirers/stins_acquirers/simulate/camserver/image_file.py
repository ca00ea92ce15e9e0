"""CBF files as camserver writes them: a header in the detector's words, and pixels packed by byte offset.

Sources: CBFlib's manual, section 3.3.3 (byte-offset compression), imgCIF's MIME header, headers of real images.
"""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["Packed", "image_file", "pack"]

_START = b"\x0c\x1a\x04\xd5"
_PADDING = 4095
#: How long a difference is with its marks, where its value stands, the value's type, and the largest that it holds.
_KINDS = ((3, 1, "<i2", 2**15 - 1), (7, 3, "<i4", 2**31 - 1), (15, 7, "<i8", 2**63 - 1))
_MARKS = np.frombuffer(b"\x80\x00\x80\x00\x00\x00\x80", np.uint8)


class Packed(msgspec.Struct, frozen=True):
    """An image ready to be written: its bytes, and the part of the header that describes them."""

    header: bytes
    content: bytes


def pack(image: NDArray[np.int32]) -> Packed:
    """Packs an image [rows, columns]."""
    content = _byte_offset(image)
    rows, columns = image.shape
    digest = b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    lines = [
        "_array_data.data",
        ";",
        "--CIF-BINARY-FORMAT-SECTION--",
        "Content-Type: application/octet-stream;",
        '     conversions="x-CBF_BYTE_OFFSET"',
        "Content-Transfer-Encoding: BINARY",
        f"X-Binary-Size: {len(content)}",
        "X-Binary-ID: 1",
        'X-Binary-Element-Type: "signed 32-bit integer"',
        "X-Binary-Element-Byte-Order: LITTLE_ENDIAN",
        f"Content-MD5: {digest}",
        f"X-Binary-Number-of-Elements: {image.size}",
        f"X-Binary-Size-Fastest-Dimension: {columns}",
        f"X-Binary-Size-Second-Dimension: {rows}",
        f"X-Binary-Size-Padding: {_PADDING}",
        "",
        "",
    ]
    return Packed("\r\n".join(lines).encode(), content)


def image_file(stem: str, remarks: Sequence[str], packed: Packed) -> bytes:
    """The whole file; `remarks` are what the detector says of the image, one a line."""
    lines = [
        "###CBF: VERSION 1.5, CBFlib v0.7.8 - PILATUS detectors",
        "",
        f"data_{stem}",
        "",
        '_array_data.header_convention "PILATUS_1.2"',
        "_array_data.header_contents",
        ";",
        *(f"# {remark}" for remark in remarks),
        ";",
        "",
        "",
    ]
    end = b"\r\n--CIF-BINARY-FORMAT-SECTION----\r\n;\r\n\r\n"
    return b"".join(["\r\n".join(lines).encode(), packed.header, _START, packed.content, bytes(_PADDING), end])


def _byte_offset(image: NDArray[np.int32]) -> bytes:
    """Each pixel's difference from the one before it, in as few bytes as it needs."""
    differences = np.diff(image.reshape(-1).astype(np.int64), prepend=0)
    sizes = np.abs(differences)
    lengths = np.where(sizes <= 127, 1, 3)
    for (_, _, _, most), (length, _, _, _) in pairwise(_KINDS):
        lengths[sizes > most] = length
    ends = np.cumsum(lengths)
    starts = ends - lengths
    packed = np.zeros(int(ends[-1]), np.uint8)
    packed[starts] = differences.astype(np.int8).view(np.uint8)
    for length, at, dtype, _ in _KINDS:
        chosen = lengths == length
        values = differences[chosen].astype(dtype).view(np.uint8).reshape(-1, length - at)
        for byte in range(at):
            packed[starts[chosen] + byte] = _MARKS[byte]
        for byte in range(length - at):
            packed[starts[chosen] + at + byte] = values[:, byte]
    return packed.tobytes()
