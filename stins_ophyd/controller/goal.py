"""What must have happened for a trigger, or a whole series, to count as done. No I/O."""

import msgspec

from stins import StinsError
from stins.control import AcquirerState, AcquirerStatus, RecorderState, SeriesState, SeriesStatus
from stins.series import missing_words
from stins.words import how_many

from .remedies import Cause, Debt
from .snapshot import Role, Snapshot

__all__ = ["Goal", "SeriesProblem"]


class SeriesProblem(StinsError):  # noqa: N818  # not an error of its own: it becomes one when step and endpoint are known
    """A series cannot reach its goal any more; `debt` says whose doing it is, and what to do.

    `only_losses`: it could go on. `unexplained`: the acquirer may say in a moment why its detector did not give frames.
    """

    def __init__(
        self,
        role: Role,
        problem: str,
        cause: Cause,
        expected: str = "",
        *,
        only_losses: bool = False,
        unexplained: bool = False,
    ) -> None:
        super().__init__(problem)
        self.debt = Debt(role, problem, cause, expected)
        self.only_losses = only_losses
        self.unexplained = unexplained


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """The frames `first` to `first + frames - 1`, flushed, with none missing.

    `sent` and `received` are what the two processes will have counted then, in this series. `closes`: the series ends
    with these frames, and its file has to be closed and complete. `cable`: pulses take the frames, and none beyond
    them are to come.
    """

    series_id: str
    first: int
    frames: int
    sent: int
    received: int
    closes: bool = False
    cable: bool = False

    @classmethod
    def whole(cls, series_id: str, frames: int, *, cable: bool = False) -> "Goal":
        """Every frame of a series that ends by itself, also those that came before anybody asked."""
        return cls(series_id=series_id, first=0, frames=frames, sent=frames, received=frames, closes=True, cable=cable)

    def awaits_frames(self, snapshot: Snapshot) -> bool:
        """Whether the detector has still to take some."""
        acquirer = snapshot.acquirer
        if acquirer is None or acquirer.frames_sent >= self.sent:
            return False
        return acquirer.state in (AcquirerState.ARMED, AcquirerState.ACQUIRING)

    def awaits_pulses(self, snapshot: Snapshot) -> bool:
        """Whether frames are still to be triggered by a cable."""
        return self.cable and self.awaits_frames(snapshot)

    def done(self, snapshot: Snapshot) -> int:
        """How many of the frames are flushed."""
        series = snapshot.series(self.series_id)
        return min(max(series.rows + series.discarded - self.first, 0), self.frames) if series else 0

    def reached(self, snapshot: Snapshot) -> bool:
        """Whether all of it has happened.

        Raises:
            SeriesProblem: it cannot happen any more (frames are missing, the series ended before).
        """
        series, acquirer = snapshot.series(self.series_id), snapshot.acquirer
        if series is None or acquirer is None or snapshot.recorder is None:
            return False
        if acquirer.state is AcquirerState.FAULT:
            # Its own words are the cause; frames that it dropped because of that, or that are missing, are not.
            return False
        self._check(series, acquirer, snapshot.recorder.notes)
        if self.closes:
            return (
                series.state is SeriesState.COMPLETE
                and snapshot.recorder.state is RecorderState.IDLE
                and acquirer.state is AcquirerState.IDLE
            )
        # One that is triggered by a cable may be ready for the next pulse without saying that it waits for it.
        ready = (AcquirerState.ARMED, AcquirerState.ACQUIRING) if self.cable else (AcquirerState.ARMED,)
        return (
            acquirer.state in ready
            and series.received >= self.received
            and (series.file is None or series.written + series.discarded + series.retaken >= series.received)
            and self.done(snapshot) == self.frames
        )

    def progress(self, snapshot: Snapshot) -> object:
        """Something that changes whenever the goal comes nearer."""
        series, acquirer = snapshot.series(self.series_id), snapshot.acquirer
        counts = (series.received, series.written, series.rows, series.state) if series else None
        return (counts, acquirer.frames_sent if acquirer else None, snapshot.state)

    def owed(self, snapshot: Snapshot) -> Debt:
        """Who is behind, and with what."""
        series, acquirer = snapshot.series(self.series_id), snapshot.acquirer
        # What has arrived was sent, whatever the acquirer said last.
        sent = max(acquirer.frames_sent if acquirer else 0, series.received if series else 0)
        due = f"{self.done(snapshot)} of {self.frames} frames are recorded"
        if sent < self.sent:
            cause = Cause.NO_PULSE if self.cable else Cause.NO_FRAME
            return Debt("acquirer", f"{due}; it has sent {sent} of {self.sent}", cause)
        if series is None:
            return Debt("recorder", f"{due}; it does not have series {self.series_id}", Cause.NO_START)
        lost = self.received - series.received
        if lost > 0:
            return Debt("recorder", f"{due}; {lost} of those sent did not arrive", Cause.NOT_ARRIVED)
        return Debt("recorder", f"{due}; the series is {series.state.value}", Cause.NOT_FLUSHED)

    def _check(self, series: SeriesStatus, acquirer: AcquirerStatus, notes: tuple[str, ...]) -> None:
        if series.state is SeriesState.FAILED:
            # Before the missing frames: they are missing because of this, and its text says what to do.
            raise SeriesProblem(
                "recorder", f"the series failed after {series.rows} rows: {series.reason}", Cause.FAILED
            )
        is_open = series.state is SeriesState.OPEN
        unexplained = is_open and acquirer.frames_not_given > 0 and not acquirer.drop_reason
        if series.missing:
            problem, cause = _missing(series, acquirer, notes), _why(series, acquirer)
            raise SeriesProblem("recorder", problem, cause, only_losses=is_open, unexplained=unexplained)
        if acquirer.frames_dropped:
            problem = f"it had to drop {how_many(acquirer.frames_dropped, 'frame')}: {_why_dropped(acquirer)}"
            cause = Cause.DROPPED if _not_taken(acquirer) else Cause.NOT_GIVEN
            raise SeriesProblem("acquirer", problem, cause, only_losses=is_open, unexplained=unexplained)
        if is_open:
            if self.cable and not self.closes and series.received > self.received:
                problem = f"pulses took {how_many(series.received - self.first, 'frame')} in this kickoff"
                raise SeriesProblem("acquirer", problem, Cause.STRAY_PULSE, str(self.frames))
            return
        if series.state is not SeriesState.COMPLETE or not self.closes:
            why = f": {series.reason}" if series.reason else ""
            problem = f"the series ended {series.state.value} with {series.rows} rows{why}"
            raise SeriesProblem("recorder", problem, Cause.ENDED)
        if series.rows + series.discarded != self.first + self.frames:
            expected = self.first + self.frames - series.discarded
            raise SeriesProblem("recorder", f"the file has {series.rows} rows", Cause.ENDED, str(expected))


def _not_taken(acquirer: AcquirerStatus) -> int:
    """How many frames it dropped because nobody took them in time."""
    return acquirer.frames_dropped - acquirer.frames_not_given


def _why_dropped(acquirer: AcquirerStatus) -> str:
    """What the acquirer says of the frames that it had to drop."""
    not_taken, not_given = _not_taken(acquirer), acquirer.frames_not_given
    if not not_given:
        return "nobody took them in time"
    if not not_taken:
        return acquirer.drop_reason or "its detector did not give them"
    why = f": {acquirer.drop_reason}" if acquirer.drop_reason else ""
    return f"nobody took {not_taken} of them in time, and its detector did not give {not_given}{why}"


def _why(series: SeriesStatus, acquirer: AcquirerStatus) -> Cause:
    """Why frames are missing; what on the way may have lost them is a guess, and not made where somebody knows."""
    if acquirer.frames_dropped >= series.missing:
        return Cause.DROPPED if _not_taken(acquirer) else Cause.NOT_GIVEN
    if series.sender_reason:
        return Cause.ENDED
    return Cause.DROPPED if _not_taken(acquirer) else Cause.LOST


def _missing(series: SeriesStatus, acquirer: AcquirerStatus, notes: tuple[str, ...]) -> str:
    spans = ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in series.missing_frames[:10])
    more = ", ..." if len(series.missing_frames) > 10 else ""
    text = f"{missing_words(series.missing)}: {spans}{more}; the file {series.file} lists them"
    is_open = series.state is SeriesState.OPEN
    if acquirer.frames_dropped:
        text += f"; the acquirer had to drop {how_many(acquirer.frames_dropped, 'frame')}"
        # Once the series is over its end has said why its detector did not give some.
        said = not is_open and acquirer.drop_reason in series.reason and not _not_taken(acquirer)
        text += "" if said else f": {_why_dropped(acquirer)}"
    if series.refused:
        text += "".join(f"; {note}" for note in notes)
    return text if is_open else f"{text}; at its end: {series.reason}"
