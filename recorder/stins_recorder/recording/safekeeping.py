"""Keeps in the journal how far a series has got, and knows from it what may be acked."""

import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from stins import SeriesReceiver, SeriesResult, SeriesStart
from stins.checkpoint import ReceiverCheckpoint
from stins.control import SeriesStatus

from ..errors import StorageError
from ..watchdog import unwatched
from .journal import Journal
from .records import Closing, Ended, Point, Position, Record, after, begun, settled

__all__ = ["Safekeeping"]

log = logging.getLogger(__name__)

#: From one point to the next, for each range in it, which takes 0.15 µs: a fifth of the time at most.
_PAUSE_S = 0.6e-6


class Safekeeping:
    """`settled`: id of the series started last, and the highest message_id that need not come again.

    A point says all that the series has of gaps: after 10^5 frames of which every second was discarded, 1.4 MB and some
    15 ms. So one that is long is not followed by another at once: `behind` says that one is due that was left out.
    A journal that fails stops no series: it is removed, what is flushed is acked; only going on would not work.
    """

    def __init__(
        self,
        journal: "Journal[Record] | None",
        machine: SeriesReceiver,
        report: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        watch: Callable[[str], None] = unwatched,
    ) -> None:
        self._journal = journal
        self._machine = machine
        self._report = report
        self._failed = False
        self._clock, self._watch = clock, watch
        self._due = -math.inf
        self.behind = False
        self._stale = False  # it could not be removed either: nothing may be acked that it doesn't know of
        self.settled: tuple[str | None, int | None] = machine.settled
        #: The last series was ended without its sender. What comes of it after all is in no file, so it is not acked:
        #: the sender, which keeps it, must not take it for recorded. The start of the next series settles it.
        self.gone = False

    @property
    def descriptors(self) -> list[int]:
        """Open files with what the journal says of this series."""
        return [] if self._journal is None else self._journal.descriptors

    def hold(self) -> None:
        """Before a series: the journal must be there to be written, and nobody else's.

        Raises:
            RecorderError: its root was made again, and another recorder of that name writes below it.
        """
        if self._journal is None:
            return
        self._watch("journal")
        try:
            self._journal.hold()
        except StorageError as error:
            log.warning("%s", error)  # it stops no series; the one that begins without a journal says so
        finally:
            self._watch("")

    def begin(self, start: SeriesStart, path: Path | None) -> None:
        """The file of this series is about to be created.

        Raises:
            RecorderError: as `hold`.
        """
        self._failed = self._stale = self.gone = False
        self._due = -math.inf
        record = begun(start, path, self._machine.checkpoint())
        self._try(lambda journal: journal.begin(record))

    def created(self, start: SeriesStart, position: Position) -> None:
        """It stands, empty. Messages behind the start may have been handled, which are not in it yet."""
        self._append(Point(receiver=after(self._machine.checkpoint(), start), position=position))

    def point(self, position: Position) -> None:
        """Everything that was handled is flushed. Left out if the last point was long, and too little time went by."""
        now = self._clock()
        self.behind = now < self._due and not position.suspended
        if self.behind:
            return
        point = Point(receiver=self._machine.checkpoint(), position=position)
        self._append(point)
        self._due = now + _PAUSE_S * _ranges(point)
        # A start that no frame has followed may come again: should the file not survive the making of its datasets, it
        # is made anew.
        if not self._stale and (position.file is None or position.series.received or position.series.missing):
            self.settled = self._machine.settled

    def suspended(self, position: Position) -> None:
        """The file is closed and on the disk: this word of it must be there too, or it is not worth it."""
        self.point(position)
        self._try(lambda journal: journal.sync())

    def resumed(self, position: Position) -> None:
        """It is about to be written again.

        That it was suspended may not be the journal's word on the disk any more: after a power cut, somebody would go
        on where it was suspended, over what is on the disk behind that.
        """
        self._append(Point(receiver=self._machine.checkpoint(), position=position))
        self._try(lambda journal: journal.sync())

    def closing(self, receiver: ReceiverCheckpoint, position: Position, result: SeriesResult) -> None:
        """The file is about to be closed with this result; whoever finds it half closed does it again."""
        self._append(Closing(receiver=receiver, position=position, result=result))

    def set_aside(self, last: Closing | None = None) -> None:
        """The file was left as it was: whoever salvages it will want to know how far it had got.

        `last`: what it is to say of the series, if closing it failed.
        """
        if self._journal is not None:
            self._watch("journal")
            with suppress(StorageError):
                self._journal.set_aside(last)
            self._watch("")

    def ended(self, receiver: ReceiverCheckpoint, series: SeriesStatus | None, *, gone: bool = False) -> None:
        """No series is open; `series` is what became of the last one; `gone` as in EndSeries."""
        self.behind = False
        if self.gone:
            return
        self._append(Ended(receiver=receiver, series=series, gone=gone))
        if not self._stale:
            self.settled = settled(receiver)
        self.gone = gone

    def _append(self, record: Record) -> None:
        self._try(lambda journal: journal.append(record))

    def _try(self, write: Callable[["Journal[Record]"], None]) -> None:
        if self._journal is None or self._failed:
            return
        self._watch("journal")
        try:
            write(self._journal)
        except StorageError as error:
            # What stands in it must not be gone on with: the file will be further.
            self._failed, self._stale = True, not self._journal.discard()
            log.warning("%s", error)
            self._report(f"{error}; if the writer dies, nobody can go on with this series")
        finally:
            self._watch("")


def _ranges(point: Point) -> int:
    account, file = point.receiver.account, point.position.file
    lists = [point.receiver.lost, point.position.unwritten]
    if account is not None:
        lists += [account.missing, account.declared, account.discarded, account.rowless]
    if file is not None:
        lists.append(file.unwritten)
    return sum(map(len, lists))
