"""The superblock of an HDF5 file whose writer has died: repaired, any reader opens the file again.

A writer that is killed leaves two things behind: the mark that the file is open, and an end of file that is from its
start. `h5clear -s --increment=0` repairs the same; `h5clear -s` alone makes the file look whole with no frame readable.
Format: HDF5 File Format Specification 3.0, II.A "Disk Format: Level 0A - Format Signature and Superblock".
"""

import os
import struct
from pathlib import Path

import msgspec

from ..errors import NotOursError, RecorderError

__all__ = ["Superblock", "bytes_gone", "is_closed", "mark_open", "read_superblock", "repair_superblock", "repaired"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: Signature, version, sizes of offsets and of lengths, flags; base, extension, end of file, root group; checksum.
_FIELDS = struct.Struct("<8s4B4Q")
_CHECKSUM = struct.Struct("<I")
_SIZE = _FIELDS.size + _CHECKSUM.size
#: Open for writing (1), for readers beside it (4).
_OPEN_FOR_WRITING = 5


class Superblock(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in a superblock of version 2 or 3; `intact`: its checksum is right."""

    version: int
    flags: int
    base: int
    extension: int
    end_of_file: int
    root: int
    intact: bool


def read_superblock(content: bytes, path: object) -> Superblock:
    """The superblock at the beginning of a file.

    Raises:
        NotOursError: it is HDF5 of a version that this recorder does not write.
        RecorderError: it is not HDF5.
    """
    if len(content) < _SIZE or not content.startswith(_SIGNATURE):
        raise RecorderError(f"{path}: got {content[:8]!r}, expected the signature of an HDF5 file; it cannot be saved")
    _, version, offset_size, length_size, flags, base, extension, end_of_file, root = _FIELDS.unpack_from(content)
    # Before version 2 the sizes stand elsewhere.
    if version not in (2, 3):
        raise NotOursError(f"{path}: got superblock version {version}, expected 2 or 3: it is no file of a recorder")
    if (offset_size, length_size) != (8, 8):
        sizes = f"sizes {offset_size} and {length_size} in the superblock"
        raise NotOursError(f"{path}: got {sizes}, expected 8 and 8: it is no file of a recorder")
    (checksum,) = _CHECKSUM.unpack_from(content, _FIELDS.size)
    return Superblock(
        version=version,
        flags=flags,
        base=base,
        extension=extension,
        end_of_file=end_of_file,
        root=root,
        intact=checksum == lookup3(content[: _FIELDS.size]),
    )


def repair_superblock(descriptor: int, path: object) -> bool:
    """Clears the mark that the file is open, and sets its end; False if nothing was wrong.

    It is one write, which a kill cannot halve; were it halved, it could be repaired again.

    Raises:
        RecorderError: it is no HDF5 file of a recorder.
        OSError: it cannot be read or written.
    """
    content = repaired(descriptor, path)
    if content is None:
        return False
    os.pwrite(descriptor, content, 0)
    os.fdatasync(descriptor)
    return True


def repaired(descriptor: int, path: object) -> bytes | None:
    """The superblock as the repair would write it; None if nothing is wrong.

    Raises:
        RecorderError: it is no HDF5 file of a recorder.
        OSError: it cannot be read.
    """
    block = read_superblock(os.pread(descriptor, _SIZE, 0), path)
    size = os.fstat(descriptor).st_size
    if block.intact and block.flags == 0 and block.end_of_file <= size:
        return None
    return _packed(msgspec.structs.replace(block, flags=0, end_of_file=size))


def is_closed(path: Path) -> bool:
    """Whether a file was closed in good order.

    Raises:
        RecorderError: it is no HDF5 file of a recorder.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        block = read_superblock(file.read(_SIZE), path)
    return block.intact and block.flags == 0


def bytes_gone(path: Path) -> int:
    """How much a file lacks at its end that was closed in good order, and cut off since.

    The mark of a writer goes when everything is there: killed at any call that changes a file, none leaves one without
    the mark that is shorter than it says. A power cut may.

    Raises:
        RecorderError: it is no HDF5 file of a recorder.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        block = read_superblock(file.read(_SIZE), path)
        size = os.fstat(file.fileno()).st_size
    return max(0, block.end_of_file - size) if block.intact and block.flags == 0 else 0


def mark_open(descriptor: int, path: object, size: int) -> int:
    """Lets every reader refuse the file, but one that reads beside a writer (swmr=True).

    That one may look for what there is up to `size`; returned is up to where it could before.
    """
    block = read_superblock(os.pread(descriptor, _SIZE, 0), path)
    end = max(block.end_of_file, size)
    os.pwrite(descriptor, _packed(msgspec.structs.replace(block, flags=_OPEN_FOR_WRITING, end_of_file=end)), 0)
    return block.end_of_file


def _packed(block: Superblock) -> bytes:
    fields = _FIELDS.pack(
        _SIGNATURE, block.version, 8, 8, block.flags, block.base, block.extension, block.end_of_file, block.root
    )
    return fields + _CHECKSUM.pack(lookup3(fields))


_MASK = 0xFFFFFFFF


def _rotate(value: int, count: int) -> int:
    return ((value << count) | (value >> (32 - count))) & _MASK


def lookup3(content: bytes) -> int:
    """HDF5's checksum of meta data: Bob Jenkins' lookup3 (`hashlittle`, public domain, 2006) with 0 to begin with."""
    a = b = c = (0xDEADBEEF + len(content)) & _MASK
    # The last 1 to 12 bytes are mixed in another way; zeros behind them change nothing.
    whole = max(0, len(content) - 1) // 12 * 12
    for x, y, z in struct.iter_unpack("<3I", content[:whole]):
        a, b, c = _mix((a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK)
    if len(content) == whole:
        return c
    x, y, z = struct.unpack("<3I", content[whole:].ljust(12, b"\0"))
    return _final((a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK)


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for count_a, count_b, count_c in ((4, 6, 8), (16, 19, 4)):
        a = ((a - c) & _MASK) ^ _rotate(c, count_a)
        c = (c + b) & _MASK
        b = ((b - a) & _MASK) ^ _rotate(a, count_b)
        a = (a + c) & _MASK
        c = ((c - b) & _MASK) ^ _rotate(b, count_c)
        b = (b + a) & _MASK
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    c = ((c ^ b) - _rotate(b, 14)) & _MASK
    a = ((a ^ c) - _rotate(c, 11)) & _MASK
    b = ((b ^ a) - _rotate(a, 25)) & _MASK
    c = ((c ^ b) - _rotate(b, 16)) & _MASK
    a = ((a ^ c) - _rotate(c, 4)) & _MASK
    b = ((b ^ a) - _rotate(a, 14)) & _MASK
    return ((c ^ b) - _rotate(b, 24)) & _MASK
