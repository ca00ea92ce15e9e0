"""The account of one series as the recorder publishes it: what the machine counts, less what could not be written."""

import logging
from collections.abc import Sequence

import msgspec

from stins import Outcome, SeriesResult, Spans, StoreFrame
from stins.control import SeriesState, SeriesStatus
from stins.series import missing_words
from stins.share import ALL, frames_in
from stins.words import how_many

from ..series.series_file import SeriesFile
from .account import LISTED_RANGES, counted, placed, rewritten
from .records import Position

__all__ = ["Tally"]

log = logging.getLogger(__name__)

_LAST_FRAME = 2**53
_MOST_NOTES = 10


class Tally:
    """Of the series that was opened last; `series` is None before the first.

    `wanted`: it is to have a file; `failure` says why it has none any more.
    """

    def __init__(self, series: SeriesStatus | None = None, *, wanted: bool = False) -> None:
        self.series = series
        self.wanted = wanted
        self.failure = ""
        self.notes: tuple[str, ...] = ()
        self.unflushed_bytes = 0
        # Both count the frames of a share without those of the others, so that a run of them is one range.
        self._frames = ALL if series is None or series.share is None else series.share
        self._unflushed: list[tuple[int, int]] = []
        self._unwritten = Spans()
        self._refused = 0

    @classmethod
    def resume(cls, position: Position) -> "Tally":
        """The account as it was there."""
        tally = cls(position.series, wanted=position.wanted)
        tally.failure, tally.notes = position.failure, position.notes
        tally._unwritten, tally._refused = Spans(position.unwritten), position.refused
        return tally

    def position(self, file: SeriesFile | None, *, suspended: bool = False) -> Position:
        """All that `resume` needs; everything stored must be flushed."""
        assert self.series is not None  # noqa: S101  # there is one from its start on
        return Position(
            series=self.series,
            wanted=self.wanted,
            failure=self.failure,
            unwritten=self._unwritten.as_tuple(),
            refused=self._refused,
            notes=self.notes,
            file=None if file is None else file.checkpoint(),
            suspended=suspended,
        )

    # -- frames ---------------------------------------------------------------------------------

    def stored(self, frame: StoreFrame, size_bytes: int) -> None:
        """These frames were given to the file, and are not flushed."""
        first = self._frames.before(frame.header.frame_number)
        self._unflushed.append((first, frame.count))
        if self._unwritten:
            # One of these that could not be written before is now, whether or not the sender said that it comes again.
            self._unwritten.remove(first, first + frame.count - 1)
        self.unflushed_bytes += size_bytes

    def skipped(self, frame: StoreFrame) -> None:
        """These frames came, and are not in the file."""
        first = self._frames.before(frame.header.frame_number)
        self._unwritten.add(first, first + frame.count - 1)

    def refused(self, frame: StoreFrame, why: str) -> None:
        """The same, because of what they look like; the first time it is noted."""
        self.skipped(frame)
        self._refused += 1
        if self._refused == 1:
            log.warning("refused: %s", why)
            self.note(f"refused {why}")

    def rewound(self, frame_number: int) -> None:
        """Everything from this frame on is taken again."""
        frame = self._frames.before(frame_number)
        self._unwritten.remove(frame, _LAST_FRAME)
        # Of those, none can be lost any more when the next flush fails.
        self._unflushed = [(first, min(count, frame - first)) for first, count in self._unflushed if first < frame]

    def asked(self) -> None:
        """Numbers of its frames are computed beside the recording."""
        assert self.series is not None  # noqa: S101  # there is one from its start on
        self.series = msgspec.structs.replace(self.series, numbers_state="open")

    def note(self, text: str) -> None:
        """Keeps a sentence for a human."""
        self.notes = (*self.notes, text)[-_MOST_NOTES:]

    def flushed(self) -> None:
        """What was stored is safe."""
        self._unflushed.clear()
        self.unflushed_bytes = 0

    def flush_failed(self) -> None:
        """What was stored since the last flush is not in the file."""
        for first, count in self._unflushed:
            self._unwritten.add(first, first + count - 1)
        self.flushed()

    # -- the account ----------------------------------------------------------------------------

    def missing(self, result: SeriesResult) -> tuple[tuple[int, int], ...]:
        """The frames that did not come, and those that could not be written."""
        if not self._unwritten.count:
            return result.missing
        missing = Spans(self._frames.inside(result.missing))
        # Behind the last one may be frames that were refused, and that the sender took again and dropped.
        frames = result.stored + result.discarded + result.missing_count
        for first, last in self._unwritten:
            missing.add(first, min(last, frames - 1))
        return self._frames.outside(missing)

    def final(self, result: SeriesResult) -> SeriesResult:
        """What a file that ends with this result says, also in mid-series: what has not come will not be in it."""
        missing = Spans(self._frames.inside(self.missing(result)))
        passed = result.stored + result.discarded + result.missing_count
        missing.add(passed, (result.frames_expected or 0) - 1)
        return msgspec.structs.replace(result, missing=self._frames.outside(missing))

    def ended(self, final: SeriesResult) -> SeriesStatus:
        """The account as a file has it that ends with this result, in mid-series or not."""
        assert self.series is not None  # noqa: S101  # there is one from its start on
        count = frames_in(final.missing, final.share)
        return msgspec.structs.replace(self.series, missing=count, missing_frames=final.missing[:LISTED_RANGES])

    def count(self, result: SeriesResult, file: SeriesFile | None) -> None:
        """Brings the account up to date; everything stored is flushed, or known to be unwritten."""
        if self.series is None:
            return
        self.series = counted(self.series, result, self.missing(result), refused=self._refused, recorded=self.wanted)
        if file is not None:
            self.series = placed(rewritten(self.series, file.take_rewritten()), file, result.rows)

    def forced(self, file: SeriesFile | None) -> None:
        """Says how far the disk has got, also where nothing more comes to be flushed."""
        if self.series is None or file is None:
            return
        durable = min(self.series.written, file.durable)
        if durable != self.series.durable:
            self.series = msgspec.structs.replace(self.series, durable=durable)

    def closed(self) -> None:
        """The file is closed, and all of it forced to the disk."""
        assert self.series is not None  # noqa: S101  # there is one from its start on
        self.series = msgspec.structs.replace(self.series, durable=self.series.written)

    def settle(self, state: SeriesState, reasons: Sequence[str]) -> None:
        """What became of the series, or becomes of it."""
        assert self.series is not None  # noqa: S101  # there is one from its start on
        self.series = msgspec.structs.replace(self.series, state=state, reason="; ".join(reasons))

    def outcome(self, result: SeriesResult) -> tuple[SeriesState, tuple[str, ...]]:
        """How the series ended, and why so; the account is up to date."""
        reasons = self._reasons(result)
        if self.failure:
            return SeriesState.FAILED, (self.failure, *reasons)
        if self._unwritten.count:
            count = self._unwritten.count
            refused = f"{how_many(count, 'frame')} {'was' if count == 1 else 'were'} refused"
            return SeriesState.INCOMPLETE, (*reasons, refused, *self.notes[-3:])
        complete = result.outcome is Outcome.COMPLETE
        return SeriesState.COMPLETE if complete else SeriesState.INCOMPLETE, result.reasons

    def _reasons(self, result: SeriesResult) -> list[str]:
        """Those of the result; as many frames are missing as the account says, the unwritten ones among them."""
        assert self.series is not None  # noqa: S101  # there is one from its start on
        came, missing = missing_words(result.missing_count), missing_words(self.series.missing)
        return [missing if reason == came else reason for reason in result.reasons]
