"""Drives one acquirer and one recorder through series: arm, trigger, wait, end."""

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from stins.control import (
    AcquirerStatus,
    ArmRequest,
    NumbersRequest,
    Preview,
    PulseRequest,
    SeriesStatus,
    TriggerMode,
    TriggerRequest,
)
from stins.errors import RemoteError

from .arming import arm
from .awaited import is_armed, until_free, until_heard, until_idle, until_preview, until_recorded, until_settled
from .deadlines import Deadlines
from .ending import abandon, await_the_end, end, insist
from .goal import Goal
from .last_heard import LastHeard
from .numbers import until_numbers
from .peers import Peers
from .rate import Rate
from .remedies import Cause, Debt
from .series import Series
from .snapshot import Snapshot
from .states import CombinedState
from .summary import Summary, summarize
from .triggering import Begun, growth, next_goal, next_point, next_share

__all__ = ["Controller"]

log = logging.getLogger(__name__)

#: What an acquirer pushes may be so much older than the frames that it tells of.
_NEWS_S = 1.0


class Controller:
    """One detector: the acquirer at `acquirer_url` and the recorder at `recorder_url`.

    Several recorders (`recorder_url` in the order of the acquirer's streams) share each series and are seen as one.
    Every method that talks or waits has a deadline, and raises `ControllerError` or `RemoteError`, which name the
    process, the step and the endpoint. Whatever fails while a series is being armed is disarmed again. A process
    that dies and comes back at its address is simply used again with the next series.
    """

    def __init__(
        self,
        acquirer_url: str,
        recorder_url: str | Sequence[str],
        *,
        deadlines: Deadlines | None = None,
        acquirer_token: str | None = None,
        recorder_token: str | None = None,
    ) -> None:
        tokens = (acquirer_token, recorder_token)
        self._peers = Peers.at(acquirer_url, recorder_url, deadlines or Deadlines(), tokens)
        self._acquirer, self._recorder = self._peers.acquirer, self._peers.recorder
        self._observer = self._peers.observer
        self._lock = threading.RLock()  # one command at a time
        self._series: Series | None = None
        self._next_frame = 0
        self._last_id: str | None = None
        self._rate = Rate()
        self._last_heard = LastHeard()
        self._observer.subscribe(self._rate)
        self._observer.subscribe(self._last_heard)

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- what is known --------------------------------------------------------------------------

    @property
    def snapshot(self) -> Snapshot:
        """What is known now."""
        return self._observer.snapshot

    @property
    def deadlines(self) -> Deadlines:
        """How long the processes may take."""
        return self._peers.deadlines

    @deadlines.setter
    def deadlines(self, deadlines: Deadlines) -> None:
        self._peers.deadlines = deadlines

    @property
    def series(self) -> Series | None:
        """The series that is armed."""
        return self._series

    @property
    def summary(self) -> Summary:
        """What the detector does and what became of its last series, at a glance; it asks nobody."""
        return summarize(self.snapshot, self._rate.frames_per_s, self._last_heard.series)

    def __repr__(self) -> str:
        return f"<{self.summary.line(type(self).__name__)}>"

    def _repr_html_(self) -> str:
        return self.summary.html(type(self).__name__)

    def subscribe(self, callback: Callable[[Snapshot], None]) -> Callable[[], None]:
        """Calls `callback` with the snapshot now and each later one; the returned function stops that.

        It is called from the watching threads, so it must return soon and must not wait for the controller.
        """
        return self._observer.subscribe(callback)

    def connect(self) -> Snapshot:
        """Begins to watch both processes and waits until both were heard. Connecting twice does no harm."""
        self._observer.open()
        return self._observer.wait(until_heard(self.deadlines.connect_s))

    def close(self) -> None:
        """Stops watching; a series that is armed is aborted. Closing twice does no harm."""
        if self._series is not None:
            self._abandon("the controller was closed")
        self._peers.close()

    # -- commands -------------------------------------------------------------------------------

    def configure(self, changes: Mapping[str, Any]) -> AcquirerStatus:
        """Sets some of the acquirer's settings; returns its status with the settings as they are now."""
        with self._lock:
            status = self._acquirer.post("/configure", dict(changes), timeout_s=self.deadlines.command_s)
            # Whoever describes a frame, or arms, at once must know of it.
            self._observer.answered(status)
            return status

    def read_acquirer(self) -> AcquirerStatus:
        """The acquirer's status now: what is pushed may be some milliseconds behind what was just set."""
        return self._acquirer.status(self.deadlines.command_s)

    def arm(
        self,
        filename: str | None,
        *,
        trigger_mode: TriggerMode = "internal",
        frames_per_trigger: int = 1,
        triggers: int | None = 1,
        metadata: Mapping[str, Any] | None = None,
        numbers: NumbersRequest | None = None,
    ) -> SeriesStatus:
        """Arms one series and returns the recorder's account of it, with the file open.

        The recorder is made ready first, then the acquirer is armed; ARMED is what the recorder says once the
        series-start has reached it. A detector that is busy with what it was told before (trimming, initializing) is
        waited for. `filename` is relative to the recorder's root; None records nothing. `numbers` of each frame are
        computed beside the recording; `wait_for_numbers` says when.
        """
        request = ArmRequest(
            series_id=str(uuid4()),
            filename=filename,
            trigger_mode=trigger_mode,
            frames_per_trigger=frames_per_trigger,
            triggers=triggers,
            metadata=metadata or {},
        )
        with self._lock:
            snapshot = self._make_free()
            self._follow(Series.of(request, snapshot))
            try:
                return arm(self._peers, request, snapshot, numbers)
            except RemoteError:
                self._abandon("arming failed")
                raise

    def begin_trigger(self, first_frame: int) -> Begun | None:
        """Sends the command of one software trigger and waits for nothing.

        What it returns is to be confirmed, or dropped. None, and nothing is sent, where it would have to wait:
        `trigger` is the one to call then.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            series, snapshot = self._series, self.snapshot
            if series is None or series.trigger_mode != "software" or not until_settled(series.id, 0.0).done(snapshot):
                return None
            answer = self._acquirer.begin("/trigger", TriggerRequest(first_frame=first_frame))
            return answer and Begun(next_point(series, snapshot, first_frame), answer, snapshot)
        finally:
            self._lock.release()

    def confirm(self, begun: Begun) -> Goal:
        """Waits until the acquirer has answered what `begin_trigger` has sent; returns what to wait for.

        Raises:
            RemoteError: it does not answer or refuses; or the series is not armed any more.
        """
        with self._lock:
            begun.answer(self.deadlines.command_s)
            if self._series is None or self._series.id != begun.goal.series_id:
                problem = f"series {begun.goal.series_id} was ended meanwhile"
                raise self._observer.error("trigger", Debt("acquirer", problem, Cause.ENDED))
            self._next_frame = begun.goal.first + begun.goal.frames
            return begun.goal

    def trigger(self, first_frame: int | None = None, *, pulses_take: int | None = None) -> Goal:
        """Takes the frames of one trigger (software), or starts the series (internal); returns what to wait for.

        `first_frame` may be a frame that was taken before: it and all after it are taken again.

        Where pulses take the frames, the goal is the whole series, or the next `pulses_take` frames. Then it waits for
        as long as an exposure takes, and frames that nobody had asked for until then are an error.
        """
        with self._lock:
            series = self._armed("trigger")
            first = self._next_frame if first_frame is None else first_frame
            if pulses_take is None or series.trigger_mode != "external":
                goal = next_goal(self._peers, series, first)
            else:
                goal = next_share(self._peers, series, self._next_frame, pulses_take)
            if series.trigger_mode != "external":
                request = TriggerRequest(first_frame=first_frame)
                self._acquirer.post("/trigger", request, timeout_s=self.deadlines.command_s)
            self._next_frame = goal.first + goal.frames
            return goal

    def pulse(self, length_s: float = 0.0, count: int = 1) -> None:
        """Pulses on the trigger input of a simulated detector; a level is `length_s` long."""
        self._acquirer.post("/pulse", PulseRequest(count=count, length_s=length_s), timeout_s=self.deadlines.command_s)

    def wait_for(
        self, goal: Goal, progress: Callable[[int], None] | None = None, *, silence_s: float | None = None
    ) -> SeriesStatus:
        """Waits until every frame of the goal is flushed and returns the recorder's account of the series.

        `progress` is called with the number of frames that are flushed, when it has grown, by the calling thread: it
        may take its time, for nothing but this call waits meanwhile. There is no limit for the whole; what is limited
        is how long nothing comes. `silence_s` is that limit while frames are still to be taken, but at least a second
        more than twice the time between two frames; None: the deadlines decide.
        """
        stall_s = self._peers.stall_s
        limit_s = None if silence_s is None else max(silence_s, _NEWS_S + stall_s - self.deadlines.stall_s)
        awaited = until_recorded(goal, stall_s, self.deadlines.pulse_s, limit_s)
        snapshot = self._observer.wait(awaited, growth(goal, progress) if progress else None)
        account = snapshot.series(goal.series_id)
        assert account is not None  # noqa: S101  # or the goal would not be reached
        if goal.closes:
            self._follow(None)
        return account

    def disarm(self) -> SeriesStatus | None:
        """Ends the series in good order and waits until its file is closed; None if none was armed."""
        with self._lock:
            if (series := self._series) is None:
                return None
            try:
                return self._end(series, "disarm")
            except RemoteError:
                self._abandon("disarming failed")
                raise

    def abort(self, reason: str = "aborted on request") -> SeriesStatus | None:
        """Ends the series now, and every wait for it; None if none was armed."""
        self._observer.interrupt(reason)
        with self._lock:
            return self._end(self._series, "abort") if self._series else None

    def reset(self) -> Snapshot:
        """Leaves FAULT and ends whatever series there is, also another's; returns once both processes are idle."""
        self._observer.interrupt("reset on request")
        with self._lock:
            self._acquirer.post("/reset", timeout_s=self.deadlines.close_s)
            insist(self._peers, lambda: self._recorder.post("/reset", timeout_s=self.deadlines.close_s))
            self._follow(None)
            return self._observer.wait(until_idle("reset", self.deadlines.close_s, despite_fault=True))

    def interrupt(self, reason: str) -> None:
        """Ends every wait that is under way; the series stays as it is."""
        self._observer.interrupt(reason)

    def make_ready(self) -> Snapshot:
        """Connects and leaves a FAULT; returns once both processes are idle."""
        with self._lock:
            if self.connect().state is CombinedState.FAULT:
                return self.reset()
            return self._make_idle()

    def wait_for_preview(self, row: int, stale: Collection[Preview], timeout_s: float) -> Preview | None:
        """The preview of that row, none that is `stale`, if it comes in time; else whatever there is of that row."""
        try:
            self._observer.wait(until_preview(row, stale, timeout_s))
        except RemoteError as error:
            log.debug("%s", error)
        return next((preview for preview in self.snapshot.previews if preview.row == row), None)

    def wait_for_numbers(
        self, series_id: str, rows: int | None, *, timeout_s: float | None = None
    ) -> SeriesStatus | None:
        """Waits until so many rows have their numbers, or will not get them; the recorder's account of the series.

        None: of a series that is over, until all have theirs, and the file of numbers is closed.

        What is limited is how long no further one comes: `timeout_s`, or the deadline `numbers_s`. Neither a FAULT nor
        what becomes of the acquirer ends the wait.
        """
        limit_s = self.deadlines.numbers_s if timeout_s is None else timeout_s
        return self._observer.wait(until_numbers(series_id, rows, limit_s)).series(series_id)

    # -- arming ---------------------------------------------------------------------------------

    def _make_idle(self) -> Snapshot:
        self.connect()
        stale = self.snapshot.acquirer
        if self._series is not None or (stale and stale.series_id == self._last_id and is_armed(stale)):
            self._abandon("a new series is armed")
        return self._observer.wait(until_idle("arm", self.deadlines.command_s))

    def _make_free(self) -> Snapshot:
        """Idle, and done with what it was told before: that may take minutes, and can be interrupted."""
        snapshot = self._make_idle()
        if snapshot.acquirer is None or not snapshot.acquirer.busy:
            return snapshot
        log.info("acquirer %r: armed once it is done: %s", snapshot.acquirer.name, snapshot.acquirer.busy)
        return self._observer.wait(until_free("arm", self.deadlines.busy_s))

    def _armed(self, step: str) -> Series:
        if self._series is None:
            raise self._observer.error(step, Debt("acquirer", "no series is armed", Cause.NOT_ARMED))
        return self._series

    # -- ending ---------------------------------------------------------------------------------

    def _end(self, series: Series, step: str) -> SeriesStatus | None:
        """Ends it and waits until its file is closed; raises what kept the acquirer from being told."""
        closed, problem = end(self._peers, series, step)
        self._follow(None)
        if problem is not None:
            raise problem
        return closed.series(series.id)

    def _abandon(self, why: str) -> None:
        """Ends what is armed as well as that can be done; never raises, so that the first error is the one seen."""
        comes = abandon(self._peers, self._last_id, why)
        self._follow(None)
        if comes and self._last_id:
            await_the_end(self._peers, self._last_id)

    def _follow(self, series: Series | None) -> None:
        self._series, self._next_frame = series, 0
        self._last_id = series.id if series else self._last_id
        self._observer.follow(series)
