"""Hears what both processes push, keeps the latest snapshot, and waits on it. It never polls."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from stins.control import AcquirerStatus, RecorderStatus
from stins.daemon.client import DaemonClient, Watch

from .awaited import Awaited
from .deadlines import Deadlines
from .errors import ControllerError, FramesLostError, InterruptedWaitError
from .goal import SeriesProblem
from .recorder_group import GroupWatch, RecorderGroup
from .remedies import Cause, Debt
from .series import Series, fault_of
from .snapshot import UNHEARD, Role, Snapshot, combine
from .states import CombinedState

__all__ = ["Observer"]

log = logging.getLogger(__name__)

#: That frames are lost is heard at once; why, the acquirer may have to ask its detector, while other frames go first.
_EXPLAINED_S = 0.5


class Observer:
    """Watches one acquirer and one recorder."""

    def __init__(
        self,
        acquirer: DaemonClient[AcquirerStatus],
        recorder: DaemonClient[RecorderStatus] | RecorderGroup,
        deadlines: Deadlines,
    ) -> None:
        self._clients: dict[Role, DaemonClient[Any] | RecorderGroup] = {"acquirer": acquirer, "recorder": recorder}
        self._deadlines = deadlines
        self._heard = UNHEARD
        self._series: Series | None = None
        self._changed = threading.Condition()
        # Held while listeners are told, so that they see the snapshots in order; reentrant: one may unsubscribe.
        self._telling = threading.RLock()
        self._listeners: dict[int, Callable[[Snapshot], None]] = {}
        self._next_key = 0
        self._interruptions = 0
        self._interrupted_by = ""
        self._watches: list[Watch[Any] | GroupWatch] = []
        self.snapshot = combine(UNHEARD)

    def open(self) -> None:
        """Begins to watch. Opening twice does no harm."""
        if not self._watches:
            self._watches = [self._watch(role, client) for role, client in self._clients.items()]

    def close(self) -> None:
        """Ends the watching. Closing twice does no harm."""
        watches, self._watches = self._watches, []
        for watch in watches:
            watch.close()

    def subscribe(self, callback: Callable[[Snapshot], None]) -> Callable[[], None]:
        """Calls `callback` with the snapshot now and with each later one; the returned function stops that.

        It is called from the watching threads, so it must return soon and must not wait for a snapshot itself.
        """
        with self._telling:
            key, self._next_key = self._next_key, self._next_key + 1
            self._listeners[key] = callback
            self._tell(callback, self.snapshot)
        return lambda: self._forget(key)

    def follow(self, series: Series | None) -> None:
        """From now on this series' own faults count."""
        self._update(series=series)

    def answered(self, status: AcquirerStatus) -> None:
        """The acquirer has answered so, and what it pushes may be some milliseconds behind."""
        with self._telling:
            if self._heard.acquirer is not None:
                self._update(acquirer=status)

    def interrupt(self, reason: str) -> None:
        """Ends every wait that is under way, with an error that says `reason`."""
        with self._changed:
            self._interruptions += 1
            self._interrupted_by = reason
            self._changed.notify_all()

    def wait(self, awaited: Awaited, seen: Callable[[Snapshot], None] | None = None) -> Snapshot:
        """The first snapshot in which it is done.

        `seen` is called with some of those on the way, and with that one, by the thread that waits: so it may take its
        time, as a terminal does that somebody has stopped, and no news is missed meanwhile.

        Raises:
            ControllerError: a fault, a process that is gone, a deadline that passed, or an interruption.
        """
        with self._changed:
            interruptions, moved, offline = self._interruptions, time.monotonic(), None
            progress, explained_by = awaited.progress(self.snapshot), None
            while True:
                if self._interruptions > interruptions and not awaited.despite_interruption:
                    raise self._interrupted(awaited.step, self._interrupted_by)
                # What is done at its deadline is done: the clock is read before it is asked.
                now = time.monotonic()
                snapshot = self.snapshot
                try:
                    if awaited.done(snapshot):
                        break
                except SeriesProblem as problem:
                    explained_by = explained_by or now + _EXPLAINED_S
                    if not problem.unexplained or now >= explained_by:
                        raise self._series_error(awaited.step, problem) from None
                else:
                    explained_by = None
                if (latest := awaited.progress(snapshot)) != progress or awaited.is_coming_back(snapshot):
                    progress, moved = latest, now
                offline = (offline or now) if awaited.is_away(snapshot) else None
                self._check(awaited, snapshot, now - moved, now - offline if offline else 0.0)
                patience = self._patience(awaited, now, moved, offline)
                self._changed.wait(min(patience, explained_by - now) if explained_by else patience)
                self._show(seen, self.snapshot)
            self._show(seen, snapshot)
        return snapshot

    def _show(self, seen: Callable[[Snapshot], None] | None, snapshot: Snapshot) -> None:
        """Calls it outside the lock, which the calling thread has."""
        if seen is None:
            return
        self._changed.release()
        try:
            self._tell(seen, snapshot)
        finally:
            self._changed.acquire()

    def rest(self, timeout_s: float) -> None:
        """Waits until something changes, at most that long."""
        with self._changed:
            self._changed.wait(timeout_s)

    def error(self, step: str, debt: Debt, kind: type[ControllerError] = ControllerError) -> ControllerError:
        """The error of that process at that step."""
        url = self._clients[debt.role].url
        return kind(debt.role, step, url, debt.problem, expected=debt.expected, remedy=debt.remedy)

    def _interrupted(self, step: str, why: str) -> ControllerError:
        # No remedy: whoever ended it knows why.
        return InterruptedWaitError("controller", step, self._clients["acquirer"].url, f"interrupted: {why}")

    def _series_error(self, step: str, problem: SeriesProblem) -> ControllerError:
        return self.error(step, problem.debt, FramesLostError if problem.only_losses else ControllerError)

    def _check(self, awaited: Awaited, snapshot: Snapshot, still_s: float, offline_s: float) -> None:
        culprit = snapshot.culprit or "acquirer"
        if snapshot.state is CombinedState.FAULT and not awaited.despite_fault:
            raise self.error(awaited.step, Debt(culprit, snapshot.reason, Cause.FAULT))
        if offline_s >= self._offline_s(awaited, snapshot) and not awaited.despite_offline:
            problem = f"{snapshot.reason}; waited {offline_s:.1f} s for it to come back"
            raise self.error(awaited.step, Debt(culprit, problem, Cause.OFFLINE))
        if still_s >= (limit_s := awaited.timeout_s + awaited.patience(snapshot)):
            debt = awaited.owed(snapshot)
            problem = f"{debt.problem}; nothing moved for {limit_s:.3g} s"
            raise self.error(awaited.step, msgspec.structs.replace(debt, problem=problem))

    def _patience(self, awaited: Awaited, now: float, moved: float, offline: float | None) -> float:
        limit_s = awaited.timeout_s + awaited.patience(self.snapshot)
        ends = [moved + limit_s] + ([offline + self._offline_s(awaited, self.snapshot)] if offline else [])
        return max(min(ends) - now, 0.001)

    def _offline_s(self, awaited: Awaited, snapshot: Snapshot) -> float:
        return self._deadlines.away_s if awaited.is_coming_back(snapshot) else self._deadlines.offline_s

    def _watch(self, role: Role, client: DaemonClient[Any] | RecorderGroup) -> Watch[Any] | GroupWatch:
        return client.watch(
            lambda status: self._update(**{role: status}),
            lambda why: self._update(**{role: None, f"{role}_lost": why}),
        )

    def _update(self, **changes: Any) -> None:
        with self._telling:
            with self._changed:
                self._series = changes.pop("series", self._series)
                self._heard = msgspec.structs.replace(self._heard, **changes)
                snapshot = combine(self._heard, fault_of(self._series, self._heard) if self._series else None)
                if snapshot == self.snapshot:
                    return
                if (snapshot.state, snapshot.reason) != (self.snapshot.state, self.snapshot.reason):
                    log.debug("%s %s", snapshot.state.value, snapshot.reason)
                self.snapshot = snapshot
                self._changed.notify_all()
            for callback in list(self._listeners.values()):
                self._tell(callback, snapshot)

    def _tell(self, callback: Callable[[Snapshot], None], snapshot: Snapshot) -> None:
        try:
            callback(snapshot)
        except Exception:  # a listener's bug must end neither the watching thread nor a series
            log.exception("a listener of the controller failed")

    def _forget(self, key: int) -> None:
        with self._telling:
            self._listeners.pop(key, None)
