"""What a trigger is to achieve, by how its series is triggered, and what has to be over before it."""

from collections.abc import Callable
from contextlib import suppress

import msgspec

from stins import RemoteError
from stins.control import AcquirerStatus

from .awaited import until_settled
from .goal import Goal, SeriesProblem
from .peers import Peers
from .pulses import refuse_strays, until_quiet
from .series import Series
from .snapshot import Snapshot

__all__ = ["Begun", "growth", "next_goal", "next_point", "next_share"]


class Begun(msgspec.Struct, frozen=True):
    """A trigger on its way to the acquirer: its goal, what waits so many seconds for the answer, and what was known."""

    goal: Goal
    answer: Callable[[float], AcquirerStatus]
    before: Snapshot

    def drop(self) -> None:
        """Nobody will wait for the answer: its connection is closed, or used again where that has come."""
        with suppress(RemoteError):
            self.answer(0.0)


def next_goal(peers: Peers, series: Series, first: int) -> Goal:
    """The frames of the next trigger, from `first` on, or the whole series; waits until the last one is over."""
    if series.trigger_mode == "external":  # a cable may have triggered already: there is nothing to wait for first
        return Goal.whole(series.id, series.frames_expected or 0, cable=True)
    settled = peers.observer.wait(until_settled(series.id, peers.stall_s))
    if series.trigger_mode == "internal":
        return Goal.whole(series.id, series.frames_expected or 0)
    return next_point(series, settled, first)


def next_point(series: Series, settled: Snapshot, first: int) -> Goal:
    """The frames of a software trigger, from `first` on, where all that was sent before has arrived."""
    account, acquirer = settled.series(series.id), settled.acquirer
    assert account is not None and acquirer is not None  # noqa: S101, PT018  # until_settled says so
    frames = series.frames_per_trigger
    return Goal(
        series_id=series.id,
        first=first,
        frames=frames,
        sent=acquirer.frames_sent + frames,
        received=account.received + frames,
        # A series with a number of triggers ends by itself with the last of them.
        closes=first + frames == series.frames_expected,
    )


def next_share(peers: Peers, series: Series, first: int, frames: int) -> Goal:
    """The next frames that pulses take; waits for as long as an exposure, in which none may have come unasked."""
    read = lambda: peers.acquirer.status(peers.deadlines.command_s)  # noqa: E731
    peers.observer.wait(until_quiet(read(), first))
    try:
        # What is pushed may be a little older.
        refuse_strays(read(), first)
    except SeriesProblem as problem:
        raise peers.observer.error("kickoff", problem.debt) from None
    end = first + frames
    return Goal(
        series_id=series.id,
        first=first,
        frames=frames,
        sent=end,
        received=end,
        closes=end == series.frames_expected,
        cable=True,
    )


def growth(goal: Goal, progress: Callable[[int], None]) -> Callable[[Snapshot], None]:
    """Reports each growth of the frames done that it sees."""
    last = -1

    def listener(snapshot: Snapshot) -> None:
        nonlocal last
        done = goal.done(snapshot)
        if done > last:
            last = done
            progress(done)

    return listener
