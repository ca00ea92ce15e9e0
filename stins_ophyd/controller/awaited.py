"""What the controller waits for, and who is behind with it: functions of a snapshot. No I/O."""

from collections.abc import Callable, Collection

import msgspec

from stins.control import AcquirerState, AcquirerStatus, Preview, RecorderState, SeriesState

from .goal import Goal
from .remedies import Cause, Debt
from .snapshot import Snapshot
from .states import CombinedState

__all__ = [
    "Awaited",
    "is_armed",
    "is_coming_back",
    "until_closed",
    "until_ended",
    "until_free",
    "until_heard",
    "until_idle",
    "until_open",
    "until_preview",
    "until_recorded",
    "until_settled",
]


_BUSY = (RecorderState.RECORDING, RecorderState.RECOVERING)


class Awaited(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody waits for: `done` says when, `owed` who is behind with what.

    `timeout_s` begins anew whenever `progress` changes, and is longer by what `patience` says of the moment. A FAULT
    ends the wait unless `despite_fault`, a process that stays away unless `despite_offline`, and an interruption unless
    `despite_interruption`. `recorder_only`: the acquirer may go. `journaled`: a recorder that comes back says it, even
    if the acquirer keeps nothing for it.
    """

    step: str
    done: Callable[[Snapshot], bool]
    owed: Callable[[Snapshot], Debt]
    timeout_s: float
    progress: Callable[[Snapshot], object] = lambda _: None
    patience: Callable[[Snapshot], float] = lambda _: 0.0
    despite_fault: bool = False
    despite_offline: bool = False
    despite_interruption: bool = False
    recorder_only: bool = False
    journaled: bool = False

    def is_away(self, snapshot: Snapshot) -> bool:
        """Whether a process is out of hearing that it needs."""
        return snapshot.recorder is None if self.recorder_only else snapshot.state is CombinedState.OFFLINE

    def is_coming_back(self, snapshot: Snapshot) -> bool:
        """Whether the recorder is being started again, or may be, and this wait with it."""
        acquirer = snapshot.acquirer
        if self.journaled and snapshot.recorder is None and acquirer is not None and acquirer.replay:
            return True
        return is_coming_back(snapshot)


def is_armed(acquirer: AcquirerStatus | None) -> bool:
    """Whether it has a series open."""
    return acquirer is not None and acquirer.state in (AcquirerState.ARMED, AcquirerState.ACQUIRING)


def is_coming_back(snapshot: Snapshot) -> bool:
    """Whether the recorder is being started again, or may be, while the acquirer keeps what it has to record."""
    acquirer, recorder = snapshot.acquirer, snapshot.recorder
    if recorder is not None:
        return recorder.state is RecorderState.RECOVERING
    # Its own part may be over: what is not acked waits for the recorder all the same.
    return acquirer is not None and acquirer.replay and (is_armed(acquirer) or acquirer.unacked > 0)


def until_heard(timeout_s: float) -> Awaited:
    """Both processes have said how they are."""
    return Awaited(
        step="connect",
        done=lambda now: now.state is not CombinedState.OFFLINE,
        owed=lambda now: Debt(now.culprit or "acquirer", now.reason, Cause.OFFLINE),
        timeout_s=timeout_s,
        despite_fault=True,
        despite_offline=True,
    )


def until_idle(step: str, timeout_s: float, *, despite_fault: bool = False) -> Awaited:
    """Neither has a series."""
    return Awaited(
        step=step,
        done=lambda now: now.state is CombinedState.IDLE and not is_armed(now.acquirer),
        owed=_busy,
        timeout_s=timeout_s,
        despite_fault=despite_fault,
    )


def until_free(step: str, timeout_s: float) -> Awaited:
    """The detector is not busy with what it was told before."""

    def owed(now: Snapshot) -> Debt:
        return Debt("acquirer", f"it is busy still: {now.acquirer.busy if now.acquirer else ''}", Cause.BUSY)

    return Awaited(
        step=step, done=lambda now: now.acquirer is not None and not now.acquirer.busy, owed=owed, timeout_s=timeout_s
    )


def until_open(series_id: str, timeout_s: float) -> Awaited:
    """The series-start has reached the recorder, and the file is open."""

    def done(now: Snapshot) -> bool:
        account, recorder = now.series(series_id), now.recorder
        recording = recorder is not None and recorder.state is RecorderState.RECORDING
        return bool(recording and account and account.state is SeriesState.OPEN and is_armed(now.acquirer))

    return Awaited(
        step="arm (open the file)",
        done=done,
        owed=lambda _: Debt("recorder", f"series {series_id} has not reached it", Cause.NO_START),
        timeout_s=timeout_s,
    )


def until_settled(series_id: str, timeout_s: float) -> Awaited:
    """The acquirer is ready for a trigger, and what it sent before (for an interrupted one, maybe) has arrived."""

    def done(now: Snapshot) -> bool:
        account, acquirer = now.series(series_id), now.acquirer
        if account is None or acquirer is None or acquirer.state is not AcquirerState.ARMED:
            return False
        return account.received >= acquirer.frames_sent

    return Awaited(
        step="trigger",
        done=done,
        owed=lambda _: Debt("acquirer", "the frames of the trigger before have not all arrived", Cause.NOT_ARRIVED),
        timeout_s=timeout_s,
        progress=lambda now: (now.acquirer, now.series(series_id)),
    )


def until_recorded(goal: Goal, timeout_s: float, pulse_s: float, silence_s: float | None = None) -> Awaited:
    """Every frame of the goal is flushed; `pulse_s` is how much longer a cable may be silent.

    `silence_s`, where given, is how long the detector may give no frame, instead of both.
    """

    def patience(now: Snapshot) -> float:
        if silence_s is not None:
            return silence_s - timeout_s if goal.awaits_frames(now) else 0.0
        return pulse_s if goal.awaits_pulses(now) else 0.0

    return Awaited(
        step="record the frames",
        done=goal.reached,
        owed=goal.owed,
        timeout_s=timeout_s,
        progress=goal.progress,
        patience=patience,
        journaled=True,
    )


def until_preview(row: int, stale: Collection[Preview], timeout_s: float) -> Awaited:
    """There is a preview of that row, none of those that are `stale`."""

    def done(now: Snapshot) -> bool:
        return any(preview.row == row and preview not in stale for preview in now.previews)

    return Awaited(
        step="preview",
        done=done,
        owed=lambda _: Debt("recorder", f"no preview of row {row}", Cause.NOT_FLUSHED),
        timeout_s=timeout_s,
    )


def until_closed(step: str, series_id: str, timeout_s: float, *, heed_acquirer: bool) -> Awaited:
    """The recorder has closed the file; `heed_acquirer`: and the acquirer has ended the series too."""

    def done(now: Snapshot) -> bool:
        recorder, account = now.recorder, now.series(series_id)
        if recorder is None or (heed_acquirer and is_armed(now.acquirer)):
            return False
        return recorder.state not in (*_BUSY, RecorderState.READY) and (
            account is None or account.state is not SeriesState.OPEN
        )

    return Awaited(
        step=f"{step} (close the file)",
        done=done,
        owed=lambda _: Debt("recorder", f"series {series_id} is still open", Cause.NOT_CLOSED),
        timeout_s=timeout_s,
        despite_fault=True,
        despite_offline=not heed_acquirer,
        # Whoever ends the series a second time (a stop while it is unstaged) must not break off the first ending.
        despite_interruption=True,
    )


def until_ended(series_id: str, timeout_s: float) -> Awaited:
    """A series that was started, and abandoned at once, has come to its end in both processes."""

    def done(now: Snapshot) -> bool:
        account, recorder = now.series(series_id), now.recorder
        if account is None or recorder is None or is_armed(now.acquirer):
            return False
        return account.state is not SeriesState.OPEN and recorder.state not in _BUSY

    return Awaited(
        step="abort (close the file)",
        done=done,
        owed=lambda _: Debt("recorder", f"series {series_id} is still open", Cause.NOT_CLOSED),
        timeout_s=timeout_s,
        despite_fault=True,
        despite_interruption=True,
    )


def _busy(now: Snapshot) -> Debt:
    acquirer, recorder = now.acquirer, now.recorder
    if acquirer is not None and is_armed(acquirer):
        return Debt("acquirer", f"it is {acquirer.state.value} for series {acquirer.series_id}", Cause.IN_USE, "idle")
    return Debt("recorder", f"it is {recorder.state.value if recorder else 'offline'}", Cause.LEFT_OPEN, "idle")
