"""Opening a file without trusting it, and without disturbing whoever writes it."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import h5py

from stins.findings import Fault, Rule, Severity

from ..errors import RecorderError
from ..nexus import SERIES
from ..segments import MARK, series_of
from ..storage import read_superblock

__all__ = [
    "DATA_FILE",
    "DIED",
    "FILE_RULES",
    "OPEN",
    "SILENT",
    "UNCHECKED",
    "UNREADABLE",
    "as_data_file",
    "is_open",
    "open_unlocked",
    "series_with",
    "state_of",
    "writers",
]

UNREADABLE = Rule("file.unreadable", Severity.ERROR, "the file is HDF5 and can be opened")
UNCHECKED = Rule("file.unchecked", Severity.ERROR, "the file can be read as far as each rule looks")
SILENT = Rule("file.timeout", Severity.ERROR, "reading the file goes on: no call to HDF5 hangs or dies")
DIED = Rule("file.died", Severity.ERROR, "the file has an end_time; without one its recorder died")
OPEN = Rule("file.open", Severity.NOTE, "the series has ended; while it runs, only what is written so far is checked")
DATA_FILE = Rule("file.data-file", Severity.WARNING, "a series is checked by its own file, with all its data files")
FILE_RULES: Final = (UNREADABLE, UNCHECKED, SILENT, DIED, OPEN, DATA_FILE)

#: A recorder flushes at least every 0.2 s while frames come; ten seconds forgive a slow network file system.
_FRESH_S = 10.0
_FLAGS_BYTE = 11  # of superblock version 3: HDF5 File Format Specification, II.A
_WRITING, _SWMR = 1, 4
_HEAD_BYTES = 64


def open_unlocked(path: Path) -> h5py.File | None:
    """The file for reading; None while it has nothing to read (created, and its first frame has not come).

    Raises:
        OSError: it is no HDF5 file, or it cannot be opened.
    """
    flags = _flags(path)
    if flags & _WRITING and not flags & _SWMR:
        return None
    # A superblock that a power cut halved is read again and again with swmr=True, for some seconds, and else refused.
    swmr = bool(flags & _SWMR) and _has_superblock(path)
    # locking=False: a lock of ours could keep the recorder from closing its file.
    return h5py.File(path, "r", swmr=swmr, locking=False)


def is_open(path: Path) -> bool:
    """Whether a file has the mark of a writer: nobody has closed it.

    Raises:
        OSError: it cannot be read.
    """
    return bool(_flags(path) & _WRITING)


def series_with(h5: h5py.File) -> str | None:
    """The name of the file whose frames stand in this one; None for a file that is no data file."""
    if MARK not in h5.attrs or SERIES in h5:
        return None
    series = series_of(Path(str(h5.attrs.get("file_name"))))
    return "another file" if series is None else series.name


def as_data_file(path: Path, series: str) -> tuple[Rule, Fault]:
    """What to say of a data file that is to be checked by itself."""
    got = f"a data file of {series}, which is not checked by itself"
    return DATA_FILE, Fault(str(path), got, f"stins check {series}, which looks into all of its data files")


def state_of(path: Path) -> tuple[Rule, Fault]:
    """What it means that this file has no end_time: it is being written, or its recorder died."""
    if holder := next(writers(path), None):
        return OPEN, Fault(
            str(path), f"a file that process {holder} is writing", "nothing: look again when it has ended"
        )
    age = time.time() - path.stat().st_mtime
    if age < _FRESH_S:
        return OPEN, Fault(str(path), f"a file that grew {age:.0f} s ago", "nothing: look again when it has ended")
    got = f"no end_time, and nothing written for {age:.0f} s"
    return DIED, Fault("/entry/end_time", got, "the time of the end, which a recorder writes last")


def _has_superblock(path: Path) -> bool:
    with path.open("rb") as file, suppress(RecorderError):
        return read_superblock(file.read(_HEAD_BYTES), path).intact
    return False


def _flags(path: Path) -> int:
    with path.open("rb") as file:
        head = file.read(_FLAGS_BYTE + 1)
    return head[_FLAGS_BYTE] if len(head) > _FLAGS_BYTE and head[:8] == b"\x89HDF\r\n\x1a\n" and head[8] >= 3 else 0


def writers(path: Path) -> Iterator[int]:
    """Processes of this machine (as far as we may look) that have the file open for writing."""
    file = path.stat()
    for process in Path("/proc").glob("[0-9]*"):
        # It may end, or not be ours to look at.
        with suppress(OSError):
            if any(_writes(entry, file) for entry in (process / "fd").iterdir()):
                yield int(process.name)


def _writes(entry: Path, file: os.stat_result) -> bool:
    with suppress(OSError, ValueError, StopIteration):
        if os.path.samestat(entry.stat(), file):
            info = (entry.parent.parent / "fdinfo" / entry.name).read_text()
            flags = next(line.split()[1] for line in info.splitlines() if line.startswith("flags:"))
            return int(flags, 8) & os.O_ACCMODE != os.O_RDONLY
    return False
