"""Changes to a closed HDF5 file of which a kill, or a power cut, leaves all or nothing.

HDF5 writes what it changes in an order of its own; halfway through, nobody can read the file. So the change is made on
an overlay in memory. What HDF5 would have written is appended to the file as one record with a checksum, then written
to its places, then the record is cut off. A record that is found later is carried out again. Such changes are some
KiB: a tree, an account, a cut of the extents.
"""

import os
import struct
import zlib
from collections.abc import Callable, Iterator

import h5py
import msgspec

from .hdf5 import options
from .space import reserve
from .superblock import mark_open

__all__ = ["Overlay", "Record", "change", "has_record", "prepare", "redo", "write_all"]

#: Before each piece: where it goes, and its length.
_PIECE = struct.Struct("<QQ")
#: At the end of the record: size of the file after the change, bytes of all pieces, their CRC-32, and a name.
_TRAILER = struct.Struct("<QQI12s")
_NAME = b"stins-redo-1"


class Overlay:
    """The file as HDF5 sees it during a change: what stands in it, and above that what was written."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._place = 0
        self.size = os.fstat(descriptor).st_size
        self.pieces: list[tuple[int, bytes]] = []

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self.size}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def read(self, size: int = -1) -> bytes:
        content = bytearray(self.size - self._place if size < 0 else size)
        self.readinto(memoryview(content))
        return bytes(content)

    def readinto(self, buffer: memoryview) -> int:
        start, size = self._place, len(buffer)
        found = os.pread(self._descriptor, size, start)
        buffer[:] = found.ljust(size, b"\0")
        for offset, content in self.pieces:
            first, last = max(offset, start), min(offset + len(content), start + size)
            if first < last:
                buffer[first - start : last - start] = content[first - offset : last - offset]
        self._place += size
        return size

    def write(self, content: memoryview) -> int:
        self.pieces.append((self._place, bytes(content)))
        self._place += len(content)
        self.size = max(self.size, self._place)
        return len(content)

    def truncate(self, size: int) -> int:
        self.size = size
        return size

    def flush(self) -> None:
        pass


class Record(msgspec.Struct, frozen=True):
    """A change as it is appended to the file at `place`; afterwards the file has `size` bytes."""

    body: bytes
    size: int
    place: int

    @property
    def content(self) -> bytes:
        """The bytes of the record."""
        return self.body + _TRAILER.pack(self.size, len(self.body), zlib.crc32(self.body), _NAME)

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """(offset, content) of what goes to its place."""
        place = 0
        while place < len(self.body):
            offset, length = _PIECE.unpack_from(self.body, place)
            place += _PIECE.size + length
            yield offset, self.body[place - length : place]


def change(descriptor: int, function: Callable[[h5py.File], None], *, synced: bool) -> None:
    """Lets the function change the closed, whole file behind the descriptor.

    `synced`: afterwards it is on the disk, with all that was written before, and a power cut in the middle leaves all
    or nothing; else only a kill does.

    Raises:
        OSError, RuntimeError, ...: from HDF5, from the function, or from the disk; the file is as it was, or the
        change is carried out by the next `redo`.
    """
    record = prepare(descriptor, function)
    if synced:
        # Before there is a record: the kernel tells only once of pages that it could not write, so `redo` would not
        # hear of them, and carry out what says that all is well.
        os.fdatasync(descriptor)
    # Nothing is begun that a full disk could stop: neither the record nor what it writes beyond the end.
    end = os.fstat(descriptor).st_size
    reserve(descriptor, end, record.place + len(record.content) - end)
    try:
        write_all(descriptor, record.content, record.place)
        if synced:
            os.fdatasync(descriptor)
    except OSError:
        # Nothing is begun: it shall not be carried out behind the back of whoever is told that it failed.
        os.ftruncate(descriptor, end)
        raise
    _carry_out(descriptor, record, synced=synced)


def prepare(descriptor: int, function: Callable[[h5py.File], None]) -> Record:
    """The record of a change; the file is as it was."""
    overlay = Overlay(descriptor)
    with h5py.File(overlay, "r+", **{key: value for key, value in options().items() if key != "locking"}) as file:
        function(file)
    size = overlay.size
    pieces = [(offset, content[: size - offset]) for offset, content in overlay.pieces if offset < size]
    body = b"".join(_PIECE.pack(offset, len(content)) + content for offset, content in pieces)
    return Record(body, size, max(size, os.fstat(descriptor).st_size))


def has_record(descriptor: int) -> bool:
    """Whether a change that is not carried out may stand at the end of the file; `redo` looks whether it is whole."""
    return os.pread(descriptor, len(_NAME), max(0, os.fstat(descriptor).st_size - len(_NAME))) == _NAME


def redo(descriptor: int) -> bool:
    """Carries out the change that a writer had no time for; False if there is none."""
    end = os.fstat(descriptor).st_size - _TRAILER.size
    trailer = os.pread(descriptor, _TRAILER.size, max(0, end))
    if not trailer.endswith(_NAME):
        return False
    size, length, checksum, _ = _TRAILER.unpack(trailer)
    body = os.pread(descriptor, length, end - length) if length <= end else b""
    if len(body) != length or zlib.crc32(body) != checksum:
        return False
    os.fdatasync(descriptor)
    _carry_out(descriptor, Record(body, size, end - length), synced=True)
    return True


def _carry_out(descriptor: int, record: Record, *, synced: bool) -> None:
    """Brings everything to its place; with `synced` the record is on the disk already."""
    end = mark_open(descriptor, "the file", record.size)
    # What is new comes before what names it, for who reads along. The superblock stands at 0; it comes last, and takes
    # the mark away.
    for offset, content in sorted(record.pieces(), key=lambda piece: (piece[0] == 0, piece[0] < end)):
        write_all(descriptor, content, offset)
    if synced:
        os.fdatasync(descriptor)
    # Should this not reach the disk, the record is carried out once more, or stands behind the end of the file.
    os.ftruncate(descriptor, record.size)


def write_all(descriptor: int, content: bytes | memoryview, offset: int) -> None:
    """`pwrite` of everything: one that fits in part only goes on, and fails with the reason."""
    done = os.pwrite(descriptor, content, offset)
    rest = memoryview(content)
    while done < len(rest):
        done += os.pwrite(descriptor, rest[done:], offset + done)
