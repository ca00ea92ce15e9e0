"""The account of one series: which frames came, which are missing, and what that makes of the series. No I/O."""

from collections.abc import Sequence
from enum import Enum

import msgspec
from msgspec import UNSET

from .checkpoint import AccountCheckpoint
from .messages import Data, SeriesEnd, SeriesStart
from .share import ALL, Share, frames_in
from .spans import Spans
from .words import how_many, spanned

__all__ = ["Outcome", "SeriesAccount", "SeriesResult", "missing_words"]

# A sentence a lost message would make the list endless; the first few tell the story, the counters the rest.
_MOST_NOTES = 10


class Outcome(Enum):
    """How a series ended: complete only if every frame is there, none too many, and the sender said `finished`."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"


class SeriesResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one series.

    received = stored + discarded + retaken, and expected = stored + discarded + missing. `rows` is the length
    of what is stored: a missing frame keeps an empty row, so does one that came late and was to be discarded.

    With a `share` all of this is about its frames only, also the ranges of frame numbers that are `missing`.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    received: int
    stored: int
    discarded: int
    retaken: int
    rows: int
    missing: tuple[tuple[int, int], ...]
    duplicates: int
    refused: int
    moved_keys: tuple[str, ...]
    frames_expected: int | None
    end: SeriesEnd | None
    share: Share | None = None

    @property
    def missing_count(self) -> int:
        """How many frames are missing."""
        return frames_in(self.missing, self.share)

    @property
    def sender_reason(self) -> str:
        """Why its sender ended the series otherwise than `finished`; "" where it did not, or has not said why."""
        end = self.end
        if end is None or end.status in {UNSET, "finished"} or end.reason is UNSET:
            return ""
        return end.reason


def missing_words(count: int) -> str:
    """How a reason says that frames are missing."""
    return f"{how_many(count, 'frame')} {'is' if count == 1 else 'are'} missing"


class SeriesAccount:
    """Counts the frames of the open series and gives each its row.

    Inside, the frames of a share are counted without those of the others: each has its place among them. Where there
    is no share, a frame's place is its number.
    """

    def __init__(self, start: SeriesStart) -> None:
        self.start = start
        share = UNSET if start.series is UNSET else start.series.share
        self.share = None if share is UNSET else share
        self._frames = self.share or ALL
        self.received = 0
        self.duplicates = 0
        self.refused = 0
        self.missing = Spans()
        self.lost_messages = Spans()
        self.moved_keys: set[str] = set()
        self.notes: list[str] = []
        self._next_frame = 0
        self._retaken = 0
        self._repeated = 0
        self._lost_and_retaken = 0
        self._void = 0  # frames that came late, from before a retake of theirs
        self._retake = (-1, 0)  # of the last retake: message_id, first frame
        self._declared = Spans()
        self._discarded = Spans()
        # Discarded frames that have no row: all but those that came late, when their row was given already.
        self._rowless = Spans()
        self._rowless_count = 0

    @classmethod
    def resume(cls, start: SeriesStart, checkpoint: AccountCheckpoint, lost: Spans) -> "SeriesAccount":
        """The account as it was at the checkpoint; `lost` are the messages given up, shared with the receiver."""
        self = cls(start)
        self.received, self.duplicates, self.refused = checkpoint.received, checkpoint.duplicates, checkpoint.refused
        self.missing, self.lost_messages = Spans(checkpoint.missing), lost
        self.moved_keys, self.notes = set(checkpoint.moved_keys), list(checkpoint.notes)
        self._next_frame = checkpoint.next_frame
        self._retaken, self._repeated = checkpoint.retaken, checkpoint.repeated
        self._lost_and_retaken, self._void = checkpoint.lost_and_retaken, checkpoint.void
        self._retake = checkpoint.retake
        self._declared, self._discarded = Spans(checkpoint.declared), Spans(checkpoint.discarded)
        self._rowless = Spans(checkpoint.rowless)
        self._rowless_count = self._rowless.count
        return self

    def checkpoint(self) -> AccountCheckpoint:
        """All that `resume` needs, the start and the lost messages aside."""
        return AccountCheckpoint(
            received=self.received,
            duplicates=self.duplicates,
            refused=self.refused,
            missing=self.missing.as_tuple(),
            moved_keys=tuple(sorted(self.moved_keys)),
            notes=tuple(self.notes),
            next_frame=self._next_frame,
            retaken=self._retaken,
            repeated=self._repeated,
            lost_and_retaken=self._lost_and_retaken,
            void=self._void,
            retake=self._retake,
            declared=self._declared.as_tuple(),
            discarded=self._discarded.as_tuple(),
            rowless=self._rowless.as_tuple(),
        )

    @property
    def frames_expected(self) -> int | None:
        """How many frames the series was to have, where its start says so."""
        series = self.start.series
        return None if series is UNSET or series.frames_expected is UNSET else series.frames_expected

    @property
    def discarded(self) -> int:
        """Frames that were not to be recorded, those taken again aside."""
        return self._discarded.count

    def note(self, text: str) -> None:
        """Keeps a sentence for the reasons of an incomplete series."""
        if len(self.notes) < _MOST_NOTES:
            self.notes.append(text)

    def add(self, header: Data, count: int, *, late: bool = False) -> int | None:
        """The row of the message's first frame; None if its frames came before.

        A late message fills the gap it left, and nothing else: it takes nothing again.
        """
        frame = header.frame_number if self.share is None else self._frames.before(header.frame_number)
        dropped = self._frames.inside(header.frames_dropped) if header.frames_dropped else ()
        if header.retake is True or dropped:
            again = self._first_retaken(frame, dropped)
            if again < self._next_frame and (header.retake is True or again < frame) and not late:
                self._rewind(again)
                self._retake = (header.message_id, again)
            self._declare(dropped, below=frame)
        if frame < self._next_frame:
            return self._fill(header, frame, count)
        row = frame - self._rowless_count
        if frame > self._next_frame:
            self.missing.add(self._next_frame, frame - 1)
        self._next_frame = frame + count
        self.received += count
        if header.discard:
            self._discarded.add(frame, frame + count - 1)
            self._rowless.add(frame, frame + count - 1)
            self._rowless_count += count
        return row

    def takes_again(self, header: Data) -> bool:
        """Whether the message, coming in its turn, takes its frame and all behind it again."""
        return header.retake is True and self._place(header.frame_number) < self._next_frame

    def misdealt(self, header: Data, count: int) -> str:
        """What is wrong with a message that is not of this share; nothing where all is well."""
        share = self.share
        if share is None or (count == 1 and share.holds(header.frame_number)):
            return ""
        number = header.frame_number
        return f"frame {number} ({count} of them): expected one frame, of share {share.index} of {share.count}"

    def is_void(self, header: Data) -> bool:
        """Whether the message is from before a retake of its frame: it fills no gap of the frames that came after."""
        message_id, first = self._retake
        return header.message_id < message_id and self._place(header.frame_number) >= first

    def pass_void(self, count: int) -> None:
        """A void message has come: its frames are not to be looked for."""
        self._void += count

    def _place(self, frame_number: int) -> int:
        return frame_number if self.share is None else self.share.before(frame_number)

    def _fill(self, header: Data, frame: int, count: int) -> int | None:
        last = min(frame + count, self._next_frame) - 1
        if self.missing.count_between(frame, last) != last - frame + 1:
            # Nothing is overwritten without being told to: a number that came before needs `retake`.
            self._repeated += count
            return None
        self.missing.remove(frame, last)
        self._next_frame = max(self._next_frame, frame + count)
        self.received += count
        if header.discard:
            self._discarded.add(frame, frame + count - 1)
        return frame - self._rowless.count_between(0, frame - 1)

    def _declare(self, dropped: Sequence[tuple[int, int]], below: int) -> None:
        """The sender names frames that it had to drop; what it names beyond a retaken frame comes again."""
        for first, last in dropped:
            self._declared.add(first, min(last, below - 1))

    def _first_retaken(self, frame: int, dropped: Sequence[tuple[int, int]]) -> int:
        """A frame that came, and was dropped after that, was dropped when it was taken again."""
        came = [(self.missing.first_outside(first), last) for first, last in dropped]
        return min([frame, *(first for first, last in came if first <= last and first < self._next_frame)])

    def _rewind(self, frame: int) -> None:
        """Everything from this frame on is taken again: what was received of it counts as retaken."""
        last = self._next_frame - 1
        missing = self.missing.count_between(frame, last)
        self._retaken += last - frame + 1 - missing
        self._lost_and_retaken += missing - self._missing_and_declared(frame)
        for spans in (self.missing, self._declared, self._discarded, self._rowless):
            spans.remove(frame, last)
        self._rowless_count = self._rowless.count
        self._next_frame = frame

    def _missing_and_declared(self, start: int = 0) -> int:
        return sum(
            self.missing.count_between(max(first, start), last) for first, last in self._declared if last >= start
        )

    def close(self, end: SeriesEnd | None, failure: str) -> SeriesResult:
        """The result; without an `end` the series is incomplete, and `failure` says why."""
        reasons = [failure] if failure else []
        if end is not None:
            reasons += self._settle(end)
        if self.frames_expected is not None:
            if self._next_frame > self.frames_expected:
                last = self._frames.frame(self._next_frame - 1)
                reasons.append(f"got frames up to {last}, expected {self.frames_expected} frames")
            self._miss_up_to(self.frames_expected)
        reasons += self._losses()
        if reasons:
            reasons += self.notes
        return self._result(tuple(reasons), end)

    def snapshot(self) -> SeriesResult:
        """The account so far; an open series counts as incomplete."""
        return self._result(("the series is open",), None)

    def _result(self, reasons: tuple[str, ...], end: SeriesEnd | None) -> SeriesResult:
        return SeriesResult(
            outcome=Outcome.INCOMPLETE if reasons else Outcome.COMPLETE,
            reasons=reasons,
            received=self.received,
            stored=self.received - self.discarded - self._retaken,
            discarded=self.discarded,
            retaken=self._retaken,
            rows=self._next_frame - self._rowless_count,
            missing=self._frames.outside(self.missing),
            duplicates=self.duplicates,
            refused=self.refused,
            moved_keys=tuple(sorted(self.moved_keys)),
            frames_expected=self.frames_expected,
            end=end,
            share=self.share,
        )

    def _settle(self, end: SeriesEnd) -> list[str]:
        """Compares what the sender says it sent and dropped with what came."""
        dropped = self._frames.inside(end.frames_dropped or ())
        total = None if end.frames_total is UNSET else self._place(end.frames_total)
        if total is not None and total < self._next_frame:
            # The series went back to before these, and took none of them again.
            self._rewind(total)
        if dropped:
            self._rewind(self._first_retaken(self._next_frame, dropped))
        came_up_to = self._next_frame
        if dropped:
            last = max(last for _, last in dropped)
            self._declare(dropped, below=last + 1)
            self._miss_up_to(last + 1)
        reasons = []
        if end.status not in {UNSET, "finished"}:
            # What an acquirer says of an abort may begin with the very word.
            why = end.reason.removeprefix(f"{end.status} ") if end.reason else ""
            reasons.append(f"{end.status} by the sender" + (f": {why}" if why else ""))
        surplus = self._surplus(end)
        if surplus > 0 and not self.missing.count:
            reasons.append(f"the sender says that it sent {end.frames_sent} frames, got {self.received}")
        between = self._next_frame - came_up_to - self._missing_and_declared(came_up_to)
        behind = self._lost_behind(end, -surplus, between) if total is None else total - self._next_frame
        self._miss_up_to(self._next_frame + behind)
        return reasons

    def _surplus(self, end: SeriesEnd) -> int:
        """How many frames more than the sender sent are accounted for; negative: so many are not."""
        if end.frames_sent is UNSET:
            return 0
        lost_inside = self.missing.count - self._missing_and_declared()
        surplus = self.received + self._repeated + self._lost_and_retaken + lost_inside - end.frames_sent
        # The retake may have known of a frame that came void, or not: it explains what is not accounted for.
        return surplus if surplus >= 0 else min(0, surplus + self._void)

    def _lost_behind(self, end: SeriesEnd, unaccounted: int, between: int) -> int:
        """How many frames were lost behind the last that came or was dropped.

        Messages lost directly before the end carried one frame each at least; `between` of those are known, from
        the numbers dropped after them. Where messages were lost elsewhere only, the gaps have told already.
        """
        lost = self.lost_messages.as_tuple()
        if not lost:
            behind = max(unaccounted, 0)
        elif lost[-1][1] == end.message_id - 1:
            behind = max(unaccounted, lost[-1][1] - lost[-1][0] + 1 - between, 0)
        else:
            behind = 0
        if self.frames_expected is None:
            return behind
        return min(behind, max(0, self.frames_expected - self._next_frame))

    def _miss_up_to(self, frame: int) -> None:
        self.missing.add(self._next_frame, frame - 1)
        self._next_frame = max(self._next_frame, frame)

    def _losses(self) -> list[str]:
        """Why not every frame is there; nothing where it is: a gap that was filled later is no reason."""
        losses = []
        if self.missing.count:
            losses.append(missing_words(self.missing.count))
        if declared := self._missing_and_declared():
            losses.append(f"the sender dropped {declared} of them")
        if self._repeated:
            losses.append(
                f"{how_many(self._repeated, 'frame')} came under a number used before, without `retake`: dropped"
            )
        spans = self.lost_messages.as_tuple()
        losses += [f"{spanned('message', first, last)} did not come" for first, last in spans[:_MOST_NOTES]]
        return losses
