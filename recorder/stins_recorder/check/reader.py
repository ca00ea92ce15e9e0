"""The process that reads a file: a damaged one may hang or kill it, and the checker lives on.

`python -m stins_recorder.check.reader FILE [--decode]` prints a line of JSON for each thing it does and finds.
"""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from stins.findings import Fault, Finding, finding

from .account_rules import ACCOUNT_CHECKS
from .data_rules import DATA_CHECKS
from .file_rule import FileCheck
from .nexus_rules import NEXUS_CHECKS
from .numbers_rules import NUMBERS_CHECKS
from .nxmx_rules import NXMX_CHECKS
from .opening import UNCHECKED, UNREADABLE, as_data_file, open_unlocked, series_with, state_of
from .recorded_file import RecordedFile

__all__ = ["FILE_CHECKS", "Counts", "FileReader", "Line", "Step", "main"]

FILE_CHECKS: Final[tuple[FileCheck, ...]] = (
    *NEXUS_CHECKS,
    *NXMX_CHECKS,
    *ACCOUNT_CHECKS,
    *DATA_CHECKS,
    *NUMBERS_CHECKS,
)
#: A file that claims to hold more than there is: 8 GiB is eight times the largest frame that the protocol allows.
_MEMORY_BYTES = 8 << 30
_SAY_EVERY_S = 0.2


class Step(msgspec.Struct, frozen=True, tag=True):
    """What the reader does now; `total` 0 where it is one step only."""

    what: str
    done: int = 0
    total: int = 0


class Counts(msgspec.Struct, frozen=True, tag=True):
    """The last line: the reader is through, and this is what it looked at."""

    counts: dict[str, int]


Line: TypeAlias = Step | Finding | Counts


class FileReader:
    """Reads one file by all rules and says what it does and finds."""

    def __init__(self, path: Path, say: Callable[[Line], None], *, decode: bool) -> None:
        self._path = path
        self._tell = say
        self._decode = decode
        self._at, self._said = "", 0.0

    def run(self) -> dict[str, int]:
        """Returns what was looked at."""
        self._say(Step("opening the file"))
        try:
            h5 = open_unlocked(self._path)
            file = None if h5 is None else RecordedFile(h5, self._path, self._progress)
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            self._say(finding(UNREADABLE, Fault(str(self._path), " ".join(str(error).split()), "a whole HDF5 file")))
            return {}
        if file is None:
            self._say(finding(*state_of(self._path)))
            return {}
        with file.h5 as h5:
            if series := series_with(h5):
                self._say(finding(*as_data_file(self._path, series)))
                return {}
            return self._check(file)

    def _check(self, file: RecordedFile) -> dict[str, int]:
        if not file.ended:
            self._say(finding(*state_of(self._path)))
        for check in FILE_CHECKS:
            if (file.ended or not check.ended) and (self._decode or not check.decode):
                self._search(check, file)
        return _counts(file)

    def _search(self, check: FileCheck, file: RecordedFile) -> None:
        self._say(Step(check.rule.id))
        try:
            for fault in check.search(file):
                self._say(finding(check.rule, fault))
        except Exception as error:  # whatever a damaged file raises: the other rules still count
            got = f"{type(error).__name__}: {' '.join(str(error).split())}"
            self._say(finding(UNCHECKED, Fault(check.rule.id, got, "content that this rule can read")))

    def _progress(self, what: str, done: int, total: int) -> None:
        # What hangs, or kills this process, must have been named before.
        if what != self._at or time.monotonic() - self._said >= _SAY_EVERY_S:
            self._at = what
            self._say(Step(what, done, total))

    def _say(self, line: Line) -> None:
        self._said = time.monotonic()
        self._tell(line)


def _counts(file: RecordedFile) -> dict[str, int]:
    try:
        scans = [stored.scan for dataset in file.frames for stored in file.stored(dataset)]
        counts = {"rows": len(file.numbers)} | ({"data_files": len(file.data_files)} if file.segments else {})
        counts["chunks"] = sum(scan.chunks for scan in scans)
        counts["stored_bytes"] = sum(scan.stored_bytes for scan in scans)
        return counts | ({"frames": file.account.written, "missing": file.account.missing} if file.account else {})
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError):
        return {}


def main(argv: list[str]) -> int:
    """Reads one file by all rules."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _print(Counts(FileReader(Path(argv[0]), _print, decode="--decode" in argv[1:]).run()))
    return 0


def _print(line: Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
