"""Getting one run's documents into a catalogue: as they come, or all of them at once."""

import logging
from contextlib import suppress
from typing import Any

from stins import StinsError

from .extent import extent_in, extent_of
from .spool import SpooledRun

__all__ = ["Delivery", "deliver_whole", "remove", "said"]

log = logging.getLogger(__name__)


class Delivery:
    """One run on its way to the catalogue. Nothing here raises: what is not written stays in the run's file.

    Where the catalogue fails while the run goes on, the run is left alone until its end, and then written anew.
    """

    def __init__(self, run: SpooledRun, catalog: Any) -> None:
        self.run = run
        self.over = False
        self.delivered = False
        self._catalog = catalog
        self._running: Any = None
        self._gave_up = False

    def go_on(self) -> None:
        """Writes what is new."""
        complete = self.run.complete  # asked first: then the last document is among those that are taken
        if not self._gave_up:
            try:
                self._write_new()
            except Exception as error:  # whatever a catalogue fails with
                self._gave_up = True
                self._complain(logging.WARNING, error, "they are sent again when it is over")
            else:
                if complete:
                    self._end(delivered=True)
                return
        if complete:
            self._write_anew()

    def give_up(self, error: Exception) -> None:
        """Its documents cannot be kept any more."""
        self.over = True
        with suppress(OSError):
            self.run.set_aside()
        room = " Is there room, and may this user write there?" if isinstance(error, OSError) else ""
        log.error(
            "catalogue: documents of run %s cannot be kept: %s; the catalogue gets no more of this run, which is not "
            "disturbed; those before stand in %s.%s",
            self.run.uid,
            said(error),
            self.run.path,
            room,
        )

    def _write_new(self) -> None:
        if self._running is None:
            self._running = _bursts().RunningRun(self._catalog)
        self._running.write(self.run.take())

    def _write_anew(self) -> None:
        try:
            deliver_whole(self._catalog, self.run)
        except Exception as error:
            self._end(delivered=False)
            remedy = f"the next session sends them again, and so does `stins catalogue resend {self.run.path.parent}`"
            self._complain(logging.ERROR, error, remedy)
        else:
            self._end(delivered=True)

    def _complain(self, level: int, error: Exception, then: str) -> None:
        log.log(
            level,
            "catalogue: run %s could not be written: %s; the run is not disturbed, its documents are kept in %s: %s",
            self.run.uid,
            said(error),
            self.run.path,
            then,
        )
        log.debug("this is how it failed", exc_info=error)

    def _end(self, *, delivered: bool) -> None:
        self.over, self.delivered = True, delivered
        if delivered:
            remove(self.run)
        else:
            self.run.close()


def deliver_whole(catalog: Any, run: SpooledRun) -> bool:
    """Writes all that there is of a run, instead of what the catalogue may have of it; whether that was needed.

    A run that is there with its end is left as it is.

    Raises:
        StinsError: the file is damaged, or has less than the catalogue: nothing is changed.
    """
    with_it = _find(catalog, run.uid)
    if with_it is not None and with_it.metadata.get("stop"):
        return False
    extent = _extent_of(run)
    if with_it is not None:
        _check_less(extent_in(with_it), extent, run)
        with_it.delete(recursive=True, external_only=False)  # the detector's files are not the catalogue's, they stay
    _bursts().write_whole(catalog, run.everything())
    return True


def remove(run: SpooledRun) -> None:
    """The catalogue has it all: its file goes."""
    try:
        run.discard()
    except OSError as error:
        run.close()
        log.warning("catalogue: it has run %s, whose file %s cannot be removed: %s", run.uid, run.path, error)


def _extent_of(run: SpooledRun) -> dict[str, int]:
    """Read through once, before anything is changed."""
    documents = run.everything()
    name, _ = next(documents, ("", {}))
    if name != "start":
        raise StinsError(f"{run.path}: got {name or 'no document'} as its first document, expected start")
    return extent_of(documents)


def _check_less(there: dict[str, int], here: dict[str, int], run: SpooledRun) -> None:
    for stream, events in there.items():
        if events > here.get(stream, 0):
            raise StinsError(
                f"{run.path}: got {here.get(stream, 0)} events of {stream}, expected at least the {events} that the "
                "catalogue has: the file lacks its end, and the run is left as it is there; remove the file"
            )


def _bursts() -> Any:
    """What writes to Tiled: who has a catalogue to hand over has imported it."""
    from . import bursts

    return bursts


def _find(catalog: Any, uid: str) -> Any:
    try:
        return catalog[uid]
    except KeyError:
        return None


def said(error: Exception) -> str:
    """An error in one line: Tiled's have pages."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
