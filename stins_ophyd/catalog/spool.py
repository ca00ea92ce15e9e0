"""Documents on the disk until the catalogue has them: a file for each run, a document a line.

The first line says which catalogue they are for; files from before lack it.
"""

import errno
import fcntl
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

import msgspec
import numpy as np

from stins import StinsError

from .recipient import Recipient

__all__ = ["INCOMPLETE", "Document", "SpooledRun", "left_in"]

Document = tuple[str, dict[str, Any]]
#: The file of a run whose documents could not all be kept.
INCOMPLETE = ".incomplete"
_UNKEPT_BYTES = 10_000_000


class _Header(msgspec.Struct, frozen=True):
    catalogue: Recipient


class SpooledRun:
    """The documents of one run, in order. One process at a time: the file is locked while this has it open.

    `complete` says whether the run's stop document is there, `recipient` which catalogue it is for, if that is known.
    """

    def __init__(
        self, path: Path, file: IO[bytes], recipient: Recipient | None, header: bytes, *, complete: bool = False
    ) -> None:
        self.path = path
        self.uid = path.name.partition(".")[0]
        self.recipient = recipient
        self.complete = complete
        self._file = file
        self._begin = self._read = len(header)
        self._size = 0
        self._unkept = header

    @classmethod
    def new(cls, folder: Path, uid: str, recipient: Recipient | None = None) -> Self:
        """The file of a new run, whose documents are for that catalogue.

        Raises:
            FileExistsError: there is one of that run.
        """
        path = folder / f"{uid}.jsonl"
        if path.exists():
            raise FileExistsError(errno.EEXIST, "got a second run of one uid", str(path))
        # Locked before it can be found: nobody takes it for one that was left.
        new = path.with_suffix(".new")
        file = _locked(new, "wb")
        new.rename(path)
        return cls(path, file, recipient, msgspec.json.encode(_Header(recipient)) + b"\n" if recipient else b"")

    @classmethod
    def left(cls, path: Path) -> Self:
        """What another session left.

        Raises:
            OSError: it is gone, or another process has it (`BlockingIOError`).
        """
        file = _locked(path, "rb+")
        line = file.readline()
        try:
            return cls(path, file, msgspec.json.decode(line, type=_Header).catalogue, line, complete=True)
        except msgspec.MsgspecError:  # from before, or damaged: that is said when the documents are read
            return cls(path, file, None, b"", complete=True)

    def append(self, name: str, doc: Mapping[str, Any]) -> None:
        """Keeps one document. It is not forced to the disk: it survives this process, not the machine.

        What the disk has no room for waits for the next one, up to 10 MB, until the run ends.

        Raises:
            OSError: it cannot be kept; the file ends with the last document that could.
        """
        self._unkept += json.dumps({"name": name, "doc": _keyed(doc)}, default=_plain).encode() + b"\n"
        try:
            if (written := self._file.write(self._unkept)) != len(self._unkept):
                raise OSError(errno.ENOSPC, f"got room for {written} bytes, expected {len(self._unkept)}")
        except OSError:
            with suppress(OSError):  # it is no file that could have grown
                self._file.truncate(self._size)
                self._file.seek(self._size)
            if name == "stop" or len(self._unkept) > _UNKEPT_BYTES:
                raise
            return
        self._size += len(self._unkept)
        self._unkept = b""
        self.complete = self.complete or name == "stop"

    def take(self) -> list[Document]:
        """The documents that were not taken yet. A line that its process did not finish is left."""
        documents = []
        with self.path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                documents.append(_parse(line, self.path))
                self._read += len(line)
        return documents

    def everything(self) -> Iterator[Document]:
        """All documents that are there, whatever was taken; of a file whose end is damaged, those before that.

        Raises:
            StinsError: it is damaged elsewhere.
        """
        with self.path.open("rb") as file:
            file.seek(self._begin)
            damaged: StinsError | None = None
            for line in file:
                if damaged is not None:
                    raise damaged
                try:
                    yield _parse(line, self.path)
                except StinsError as error:  # the last line, of a process or a machine that died
                    damaged = error

    def set_aside(self) -> None:
        """It lacks documents: no session sends it by itself."""
        self.path = self.path.rename(self.path.with_suffix(INCOMPLETE))
        self.close()

    def close(self) -> None:
        """Leaves the file to others."""
        self._file.close()

    def discard(self) -> None:
        """The catalogue has them all."""
        self.path.unlink(missing_ok=True)
        self.close()


def left_in(folder: Path, kinds: Collection[str] = (".jsonl",)) -> Iterator[Path]:
    """The files of runs in a folder, the oldest first, if they are there when their turn comes."""
    files, ages = list[Path](), list[tuple[float, Path]]()
    with suppress(FileNotFoundError):  # the folder has gone
        files = [path for path in folder.iterdir() if path.suffix in kinds]
    for path in files:
        with suppress(FileNotFoundError):  # it was sent meanwhile
            ages.append((path.stat().st_mtime, path))
    yield from (path for _, path in sorted(ages) if path.exists())


def _locked(path: Path, mode: str) -> IO[bytes]:
    file: IO[bytes] = path.open(mode, buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file


def _parse(line: bytes, path: Path) -> Document:
    try:
        content = json.loads(line)
        name, doc = content["name"], content["doc"]
    except (ValueError, KeyError, TypeError) as error:
        raise StinsError(f"{path}: got the line {line[:80]!r}, expected a document: name and doc, as JSON") from error
    return str(name), dict(doc)


def _plain(value: Any) -> Any:
    """What JSON has no type for: arrays and numbers of NumPy as they are, the rest as text."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return list(value) if isinstance(value, set | frozenset) else str(value)


def _keyed(value: Any) -> Any:
    """With keys that JSON has: text."""
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): _keyed(item) for key, item in value.items()}
    return [_keyed(item) for item in value] if isinstance(value, list | tuple) else value
