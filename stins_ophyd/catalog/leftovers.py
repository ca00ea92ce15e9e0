"""Runs that the catalogue did not get: sent again."""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from .delivery import deliver_whole, said
from .spool import SpooledRun, left_in

__all__ = ["Leftovers", "Resent", "resend"]

log = logging.getLogger(__name__)

#: One that cannot be written, whatever the catalogue's state, is not tried for ever.
_ATTEMPTS = 3
#: A catalogue that fails with so many of them is left alone, until it takes a new run.
_FAILURES = 3


class Resent(msgspec.Struct, frozen=True):
    """What became of the documents of one run that were kept.

    `problem` says why the catalogue does not have it; `written` is false where it had it.
    """

    uid: str
    file: Path
    written: bool = False
    problem: str = ""


def resend(catalog: Any, run: SpooledRun) -> Resent:
    """Writes a run that was left, instead of what the catalogue has of it; its file goes when that is done."""
    try:
        written = deliver_whole(catalog, run)
    except Exception as error:  # whatever a catalogue fails with
        run.close()
        log.debug("this is how %s failed", run.path, exc_info=True)
        return Resent(run.uid, run.path, problem=said(error))
    run.discard()
    return Resent(run.uid, run.path, written=written)


class Leftovers:
    """The runs in a folder that no session holds, one at a time; all of them again when the catalogue is well again."""

    def __init__(self, catalog: Any, folder: Path) -> None:
        self._catalog = catalog
        self._folder = folder
        self._attempts: Counter[Path] = Counter()
        self._failures = 0
        self._runs: Iterator[SpooledRun] | None = left_in(folder)

    def again(self) -> None:
        """The catalogue took something: it may take these too."""
        self._failures, self._runs = 0, left_in(self._folder)

    @property
    def some(self) -> bool:
        """Whether there may be more to send."""
        return self._runs is not None

    def send_one(self) -> None:
        """Sends the next one."""
        run = next(self._runs, None) if self._runs and self._failures < _FAILURES else None
        if run is None:
            self._runs = None
            return
        self._attempts[run.path] += 1
        if self._attempts[run.path] > _ATTEMPTS:
            run.close()
            return
        resent = resend(self._catalog, run)
        if not resent.problem:
            log.info("catalogue: it has run %s now, from %s", resent.uid, resent.file)
            return
        self._failures += 1
        if self._attempts[run.path] == 1:
            log.warning(
                "catalogue: run %s, which was left in %s, could not be written: %s",
                resent.uid,
                resent.file,
                resent.problem,
            )
