"""The journal: what a new writer must know to go on with the series of one that died.

`ROOT/.stins/NAME.journal` holds one series: a first line, written when the series begins, and behind it a ring of
later lines, of which the last intact one counts. A line is `CRC32 NUMBER JSON`, and one `pwrite`: its sum tells what a
kill has torn. The file is allocated ahead, so that a full disk does not stop it.
"""

import fcntl
import os
import shutil
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from ..errors import RecorderError, storage_error
from ..storage import sync_folder

__all__ = ["ASIDE", "FOLDER", "JOURNAL", "Journal", "read_journal"]

#: Below each root; no series' file can come to lie in it, for no name of one begins with a dot.
FOLDER = ".stins"
JOURNAL, ASIDE = ".journal", ".aside"
#: Lines have 1 to 2 KiB, so this holds some hundred; it grows where they are longer (many gaps in a series).
_RING_BYTES = 1 << 20
_LINES_AT_LEAST = 4
#: A writer that has just been killed may still be on its way out.
_LOCK_WAIT_S, _LOCK_PAUSE_S = 5.0, 0.05

R = TypeVar("R")


class Journal(Generic[R]):
    """The journal of the recorder `name`, locked while it is open; `decoder` knows its records.

    Raises:
        RecorderError: another recorder of that name is alive below this root.
        StorageError: the file system fails.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        decoder: msgspec.json.Decoder[R],
        *,
        lock_wait_s: float = _LOCK_WAIT_S,
        ring_bytes: int = _RING_BYTES,
    ) -> None:
        self.path = root / FOLDER / f"{name}{JOURNAL}"
        self._ring_bytes = ring_bytes
        self._encoder = msgspec.json.Encoder()
        self._root, self._name = root, name
        self._file = self._lock = -1
        self._start = self._offset = self._capacity = self._number = 0
        self.hold(lock_wait_s)
        #: The first record of the series found and its last one; empty if there is none.
        self.found: tuple[R, ...] = ()
        self._go_on(decoder)

    def _go_on(self, decoder: msgspec.json.Decoder[R]) -> None:
        """Reads what is there, to write behind it."""
        with suppress(FileNotFoundError):
            scan = _scan(self.path)
            if scan is not None:
                self.found = tuple(decoder.decode(line) for line in scan.lines)
                self._file = os.open(self.path, os.O_RDWR)
                self._start, self._offset, self._number = scan.start, scan.end, scan.number
                self._capacity = scan.size

    def hold(self, wait_s: float = 0.0) -> None:
        """Takes the lock, again too where it was removed since: with its folder, or with a root that was made again.

        Raises:
            RecorderError: another recorder of that name has it; what stands there is not this one's any more.
            StorageError: the file system fails.
        """
        path = self.path.with_suffix(".lock")
        try:
            if self._lock >= 0 and _names(path, self._lock):
                return
            path.parent.mkdir(exist_ok=True)
            lock = _lock(path, self._name, self._root, wait_s)
        except OSError as error:
            raise storage_error("lock", self.path, error) from error
        except RecorderError:
            self._close_file()
            raise
        self._close_lock()
        self._lock = lock

    def begin(self, record: R) -> None:
        """A series begins: the old journal stands until the new one does.

        Raises:
            RecorderError: the lock was removed, and another recorder of that name has it now.
            StorageError: it could not be written; the old one is as it was.
        """
        self.hold()
        new = self.path.with_suffix(".new")
        try:
            file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o640)
            try:
                line = self._line(record)
                capacity = len(line) + self._ring_bytes
                os.posix_fallocate(file, 0, capacity)
                _write(file, line, 0)
                new.rename(self.path)
            except OSError:
                os.close(file)
                raise
        except OSError as error:
            raise storage_error("journal", self.path, error) from error
        self._close_file()
        self._file, self._capacity = file, capacity
        self._start = self._offset = len(line)

    def append(self, record: R) -> None:
        """The last record from now on. Without a series begun before it there is nothing to keep it in.

        Raises:
            StorageError: it could not be written; the one before still counts.
        """
        if self._file < 0:
            return
        line = self._line(record)
        try:
            self._make_room(len(line))
            _write(self._file, line, self._offset)
        except OSError as error:
            raise storage_error("journal", self.path, error) from error
        self._offset += len(line)

    @property
    def descriptors(self) -> list[int]:
        """The open file, if there is one."""
        return [self._file] if self._file >= 0 else []

    def sync(self) -> None:
        """Forces it to the disk, with its name.

        Raises:
            StorageError: that failed; what of it is on the disk is not known.
        """
        if self._file < 0:
            return
        try:
            os.fdatasync(self._file)
            sync_folder(self.path.parent)
        except OSError as error:
            raise storage_error("sync", self.path, error) from error

    def discard(self) -> bool:
        """After an error: nobody finds this series any more. Whether that has worked."""
        self._close_file()
        try:
            self.path.unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def set_aside(self, last: R | None = None) -> None:
        """Keeps a copy, for whoever salvages the file that this series is not gone on with in; `last` is its last word.

        Raises:
            StorageError: there is no room for it.
        """
        if self._file < 0:
            return
        copy = self.path.with_name(f"{self.path.stem}-{time.time_ns()}{ASIDE}")
        try:
            shutil.copyfile(self.path, copy)
            if last is not None:
                with copy.open("ab") as file:
                    file.write(b"\n" + self._line(last))
        except OSError as error:
            raise storage_error("copy", copy, error) from error

    def _line(self, record: R) -> bytes:
        self._number += 1
        content = b"%d %b" % (self._number, self._encoder.encode(record))
        return b"%08x %b\n" % (zlib.crc32(content), content)

    def _make_room(self, size: int) -> None:
        """The ring begins anew where a line would not fit; it always has room for some, so the last one stays."""
        if size * _LINES_AT_LEAST > self._capacity - self._start:
            capacity = self._start + 2 * _LINES_AT_LEAST * size
            os.posix_fallocate(self._file, 0, capacity)
            self._capacity = capacity
        if self._offset + size > self._capacity:
            self._offset = self._start

    def close(self) -> None:
        """Closes the file and gives the lock back. Closing twice does no harm."""
        self._close_file()
        self._close_lock()

    def _close_lock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _close_file(self) -> None:
        if self._file >= 0:
            with suppress(OSError):  # nothing in it is awaited any more
                os.close(self._file)
            self._file = -1


def read_journal(path: Path, decoder: msgspec.json.Decoder[R]) -> tuple[R, ...]:
    """The first and the last intact record of a journal, without its lock; empty if there is none."""
    try:
        scan = _scan(path)
    except OSError:
        return ()
    return tuple(decoder.decode(line) for line in scan.lines) if scan else ()


class _Scan(msgspec.Struct, frozen=True):
    """What stands in a journal: the JSON of its first and last line, and where the next one goes."""

    lines: tuple[bytes, ...]
    start: int
    end: int
    number: int
    size: int


def _scan(path: Path) -> _Scan | None:
    content = path.read_bytes()
    start = end = content.find(b"\n") + 1
    first = _intact(content[:start])
    if first is None:
        return None
    number, last, place = first[0], first[1], start
    while stop := content.find(b"\n", place) + 1:
        # What was overwritten in part has a wrong sum; a higher number is the later line.
        line = _intact(content[place:stop])
        if line is not None and line[0] > number:
            number, last, end = *line, stop
        place = stop
    return _Scan((first[1],) if last is first[1] else (first[1], last), start, end, number, len(content))


def _intact(line: bytes) -> tuple[int, bytes] | None:
    """Number and JSON of a line that is whole."""
    crc, _, content = line.rstrip(b"\n").partition(b" ")
    number, _, record = content.partition(b" ")
    if crc != b"%08x" % zlib.crc32(content):
        return None
    return int(number), record


def _write(file: int, line: bytes, offset: int) -> None:
    written = os.pwrite(file, line, offset)
    if written != len(line):
        raise OSError(f"{written} of {len(line)} bytes were written")


def _names(path: Path, descriptor: int) -> bool:
    """Whether it is this open file that stands there."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lock(path: Path, name: str, root: Path, wait_s: float) -> int:
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(lock)
                raise RecorderError(
                    f"a recorder called {name!r} is writing below {root} already (it holds {path}); "
                    "give this one another name"
                ) from None
            time.sleep(_LOCK_PAUSE_S)
        else:
            return lock
