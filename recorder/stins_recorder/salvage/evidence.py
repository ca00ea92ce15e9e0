"""What journals know of a file."""

import fcntl
import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from ..recording.journal import ASIDE, FOLDER, JOURNAL, read_journal
from ..recording.records import RECORDS, Begun, Closing, Ended, Point, Record, machine_boot
from ..recording.room import HELD

__all__ = ["Evidence", "files_left", "find_evidence", "locked", "remove"]


class Evidence(msgspec.Struct, frozen=True):
    """A journal in which this file's series was begun, and its last word."""

    journal: Path
    begun: Begun
    last: Record

    @property
    def open(self) -> bool:
        """Whether a recorder would go on with the file."""
        if isinstance(self.last, Point):
            return self.last.position.file is not None
        return not isinstance(self.last, Ended)

    @property
    def goes_on(self) -> bool:
        """Whether a recorder that is started would go on with the series, and take frames that are still to come."""
        if not isinstance(self.last, Point) or self.last.position.file is None:
            return False
        return self.last.position.suspended or self.begun.machine_boot == machine_boot()

    @property
    def useful(self) -> bool:
        """Whether it says how far the file had got."""
        return isinstance(self.last, Closing) or (isinstance(self.last, Point) and self.last.position.file is not None)


def find_evidence(path: Path) -> list[Evidence]:
    """All of it: in the folders of journals beside the file and above it, the most useful first."""
    found = [evidence for journal in _journals(path) if (evidence := _read(journal, path))]
    return sorted(found, key=lambda evidence: not evidence.useful)


def files_left(root: Path, name: str) -> list[Path]:
    """The files of which a recorder of that name has put its journal aside, as far as they are still there."""
    found: dict[Path, None] = {}
    for aside in sorted((root / FOLDER).glob(f"{glob.escape(name)}-*{ASIDE}")):
        # A name may begin with that of another recorder: what follows is a time.
        if aside.stem.removeprefix(f"{name}-").isdigit() and (begun := _begun(aside)) and begun.path:
            found[Path(begun.path)] = None
    return [path for path in found if path.is_file()]


@contextmanager
def locked(evidence: Evidence) -> Iterator[bool]:
    """Keeps the recorder of that journal from starting; False if it is alive already. A copy has no recorder."""
    if evidence.journal.suffix != JOURNAL:
        yield True
        return
    lock = os.open(evidence.journal.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(lock)


def remove(evidence: Evidence) -> None:
    """Removes the journal, and the room that its recorder held for the end of the file. Only while it is `locked`."""
    evidence.journal.unlink(missing_ok=True)
    # The recorder of a copy may live, and hold room for a file of its own.
    if evidence.journal.suffix == JOURNAL:
        evidence.journal.with_suffix(HELD).unlink(missing_ok=True)


def _journals(path: Path) -> Iterator[Path]:
    for folder in path.parents:
        with suppress(OSError):
            yield from (f for f in sorted((folder / FOLDER).iterdir()) if f.suffix in (JOURNAL, ASIDE))


def _read(journal: Path, path: Path) -> Evidence | None:
    with suppress(msgspec.MsgspecError):
        records = read_journal(journal, RECORDS)
        if records and isinstance(records[0], Begun) and records[0].path == str(path):
            return Evidence(journal, records[0], records[-1])
    return None


def _begun(journal: Path) -> Begun | None:
    with suppress(msgspec.MsgspecError):
        records = read_journal(journal, RECORDS)
        if records and isinstance(records[0], Begun):
            return records[0]
    return None
