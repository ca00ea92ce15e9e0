"""Runs that the catalogue did not get: sent again."""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from .delivery import deliver_whole, remove, said
from .recipient import Recipient, recipient_of
from .spool import INCOMPLETE, SpooledRun, left_in

__all__ = ["Leftovers", "Resent", "resend_runs"]

log = logging.getLogger(__name__)

#: One that cannot be written, whatever the catalogue's state, is not tried for ever.
_ATTEMPTS = 3
#: A catalogue that fails with so many of them is left alone, until it takes a new run.
_FAILURES = 3
_HELD = "a session that goes on has it"


class Resent(msgspec.Struct, frozen=True):
    """What became of the documents of one run that were kept.

    `problem` says why the catalogue does not have it; `written` is false where it had it. `other` is the place of the
    catalogue that the documents are for, where that is another one.
    """

    uid: str
    file: Path
    written: bool = False
    problem: str = ""
    other: str = ""


def resend_runs(catalog: Any, folder: Path, *, for_any: bool = False) -> Iterator[Resent]:
    """Sends the runs whose documents are kept in a folder, the oldest first; files go when the catalogue has their run.

    A run of a session that goes on is left to it, and one that was recorded for another catalogue stays, except
    `for_any`. Doing this twice does no harm.
    """
    recipient = None if for_any else recipient_of(catalog)
    yield from (_resend(catalog, recipient, path) for path in left_in(folder, (".jsonl", INCOMPLETE)))


def _resend(catalog: Any, recipient: Recipient | None, path: Path) -> Resent:
    try:
        run = SpooledRun.left(path)
    except OSError as error:
        problem = _HELD if isinstance(error, BlockingIOError) else said(error)
        return Resent(path.stem, path, problem=problem)
    if recipient and run.recipient and run.recipient.id != recipient.id:
        run.close()
        other = run.recipient.place
        return Resent(run.uid, run.path, problem=f"it was recorded for another catalogue, {other}", other=other)
    try:
        written = deliver_whole(catalog, run)
    except Exception as error:  # whatever a catalogue fails with
        run.close()
        log.debug("this is how %s failed", run.path, exc_info=True)
        return Resent(run.uid, run.path, problem=said(error))
    remove(run)
    return Resent(run.uid, run.path, written=written)


class Leftovers:
    """The runs in a folder that no session holds, one at a time; all of them again when the catalogue is well again.

    `failed` says that there is one that the catalogue may take then.
    """

    def __init__(self, catalog: Any, recipient: Recipient, folder: Path) -> None:
        self._catalog = catalog
        self._recipient = recipient
        self._folder = folder
        self._attempts: Counter[Path] = Counter()
        self._others: set[str] = set()
        self.failed = False
        self._failures = 0
        self._files: Iterator[Path] | None = left_in(folder)

    def again(self) -> None:
        """The catalogue took something: it may take these too, if there are any."""
        if self.failed:
            self.failed = False
            self._failures, self._files = 0, left_in(self._folder)

    def leave(self) -> None:
        """No more of them for now."""
        self._files = None

    @property
    def some(self) -> bool:
        """Whether there may be more to send."""
        return self._files is not None

    def send_one(self) -> None:
        """Sends the next one."""
        path = next(self._files, None) if self._files and self._failures < _FAILURES else None
        if path is None:
            self._files = None
        elif self._attempts[path] < _ATTEMPTS:
            self._note(_resend(self._catalog, self._recipient, path))

    def _note(self, resent: Resent) -> None:
        if not resent.problem:
            log.info("catalogue: it has run %s now, from %s", resent.uid, resent.file)
        elif resent.other:
            self._leave_to(resent.other)
        elif resent.problem != _HELD:
            self.failed = True
            self._failures += 1
            self._attempts[resent.file] += 1
            if self._attempts[resent.file] == 1:
                self._complain(resent)

    def _leave_to(self, other: str) -> None:
        if other not in self._others:
            self._others.add(other)
            log.warning(
                "catalogue: runs in %s were recorded for another catalogue, %s, and are left there; this sends them: "
                "stins catalogue resend %s --to %s",
                self._folder,
                other,
                self._folder,
                other,
            )

    def _complain(self, resent: Resent) -> None:
        log.warning(
            "catalogue: run %s, which was left in %s, could not be written: %s",
            resent.uid,
            self._folder,
            resent.problem,
        )
