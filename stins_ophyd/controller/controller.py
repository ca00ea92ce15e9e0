"""Drives one acquirer and one recorder through series: arm, trigger, wait, end."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from stins import Part, part_bytes
from stins.control import (
    AcquirerStatus,
    ArmRequest,
    FrameDescription,
    NumbersRequest,
    PrepareRequest,
    Preview,
    PulseRequest,
    RecorderStatus,
    SeriesStatus,
    TriggerMode,
    TriggerRequest,
)
from stins.daemon.client import DaemonClient
from stins.errors import RemoteError

from .awaited import (
    is_armed,
    until_closed,
    until_ended,
    until_free,
    until_heard,
    until_idle,
    until_open,
    until_preview,
    until_recorded,
    until_settled,
)
from .deadlines import Deadlines
from .goal import Begun, Goal, SeriesProblem
from .numbers import until_numbers
from .observer import Observer
from .pulses import refuse_strays, until_quiet
from .rate import Rate
from .recorder_group import RecorderGroup
from .remedies import Cause, Debt
from .series import Series
from .snapshot import Role, Snapshot
from .states import CombinedState
from .summary import Summary, summarize

__all__ = ["Controller"]

log = logging.getLogger(__name__)

_AGAIN_S = 0.25
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
        self.deadlines = deadlines or Deadlines()
        self._acquirer = DaemonClient("acquirer", acquirer_url, AcquirerStatus, acquirer_token)
        self._recorder = _recorder_client(recorder_url, recorder_token, self.deadlines.away_s)
        self._observer = Observer(self._acquirer, self._recorder, self.deadlines)
        self._lock = threading.RLock()  # one command at a time
        self._series: Series | None = None
        self._next_frame = 0
        self._last_id: str | None = None
        self._rate = Rate()
        self._observer.subscribe(self._rate)

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
    def series(self) -> Series | None:
        """The series that is armed."""
        return self._series

    @property
    def summary(self) -> Summary:
        """What the detector does and what became of its last series, at a glance; it asks nobody."""
        return summarize(self.snapshot, self._rate.frames_per_s)

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
        self._observer.close()
        self._acquirer.close()
        self._recorder.close()

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
                return self._arm(request, snapshot, numbers)
            except RemoteError:
                self._abandon("arming failed")
                raise

    def begin_trigger(self, first_frame: int) -> Begun | None:
        """Sends the command of one software trigger and waits for nothing; what it returns is for `confirm`.

        None, and nothing is sent, where it would have to wait: `trigger` is the one to call then.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            series, snapshot = self._series, self.snapshot
            if series is None or series.trigger_mode != "software" or not until_settled(series.id, 0.0).done(snapshot):
                return None
            answer = self._acquirer.begin("/trigger", TriggerRequest(first_frame=first_frame))
            return answer and Begun(self._point(series, snapshot, first_frame), answer, snapshot)
        finally:
            self._lock.release()

    def confirm(self, begun: Begun) -> Goal:
        """Waits until the acquirer has answered what `begin_trigger` has sent; returns what to wait for."""
        with self._lock:
            begun.answer(self.deadlines.command_s)
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
            if pulses_take is None or series.trigger_mode != "external":
                goal = self._goal(series, first_frame)
            else:
                goal = self._share(series, pulses_take)
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

        `progress` is called with the number of frames that are flushed, each time it grows. There is no limit for
        the whole; what is limited is how long nothing comes. `silence_s` is that limit while frames are still to be
        taken, but at least a second more than twice the time between two frames; None: the deadlines decide.
        """
        least_s = _NEWS_S + self._stall_s() - self.deadlines.stall_s
        limit_s = None if silence_s is None else max(silence_s, least_s)
        awaited = until_recorded(goal, self._stall_s(), self.deadlines.pulse_s, limit_s)
        forget = self.subscribe(_growth(goal, progress)) if progress else lambda: None
        try:
            snapshot = self._observer.wait(awaited)
        finally:
            forget()
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
            self._insist(lambda: self._recorder.post("/reset", timeout_s=self.deadlines.close_s))
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

    def _arm(self, request: ArmRequest, snapshot: Snapshot, numbers: NumbersRequest | None) -> SeriesStatus:
        deadline = self.deadlines
        frame = snapshot.acquirer.frame if snapshot.acquirer else None
        prepare = PrepareRequest(
            series_id=request.series_id,
            filename=request.filename,
            frames_expected=request.frames_expected,
            frame_bytes=_frame_bytes(frame),
            numbers=numbers if request.filename else None,
        )
        self._recorder.post("/prepare", prepare, timeout_s=deadline.command_s)
        self._acquirer.post("/arm", request, timeout_s=deadline.arm_s)
        opened = self._observer.wait(until_open(request.series_id, deadline.arm_s))
        account = opened.series(request.series_id)
        assert account is not None  # noqa: S101  # until_open says so
        if prepare.numbers is not None and account.numbers_state == "none":
            raise self._observer.error(
                "arm", Debt("recorder", "it computes no numbers of these frames", Cause.NO_NUMBERS)
            )
        return account

    def _armed(self, step: str) -> Series:
        if self._series is None:
            raise self._observer.error(step, Debt("acquirer", "no series is armed", Cause.NOT_ARMED))
        return self._series

    # -- triggering -----------------------------------------------------------------------------

    def _settled(self, series: Series) -> Snapshot:
        return self._observer.wait(until_settled(series.id, self._stall_s()))

    def _stall_s(self) -> float:
        acquirer = self.snapshot.acquirer
        return self.deadlines.stall_of(acquirer.interval_s if acquirer else 0.0)

    def _goal(self, series: Series, first_frame: int | None) -> Goal:
        if series.trigger_mode == "external":  # a cable may have triggered already: there is nothing to wait for first
            return Goal.whole(series.id, series.frames_expected or 0, cable=True)
        snapshot = self._settled(series)
        if series.trigger_mode == "internal":
            return Goal.whole(series.id, series.frames_expected or 0)
        return self._point(series, snapshot, self._next_frame if first_frame is None else first_frame)

    def _point(self, series: Series, settled: Snapshot, first: int) -> Goal:
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

    def _share(self, series: Series, frames: int) -> Goal:
        first = self._next_frame
        self._observer.wait(until_quiet(self.read_acquirer(), first))
        try:
            # What is pushed may be a little older.
            refuse_strays(self.read_acquirer(), first)
        except SeriesProblem as problem:
            raise self._observer.error("kickoff", problem.debt) from None
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

    # -- ending ---------------------------------------------------------------------------------

    def _end(self, series: Series, step: str) -> SeriesStatus | None:
        """Tells the acquirer, else the recorder, and waits until the file is closed."""
        problem = self._tell_the_acquirer(series, step)
        if problem is not None:
            # The series-end will not come: the recorder has to close the file without it.
            try:
                self._recorder.post("/stop", step="stop", timeout_s=self.deadlines.command_s)
            except RemoteError as error:
                log.warning("%s", error)
                raise problem from error
        closed = self._observer.wait(
            until_closed(step, series.id, self.deadlines.close_s, heed_acquirer=problem is None)
        )
        self._follow(None)
        if problem is not None:
            raise problem
        return closed.series(series.id)

    def _tell_the_acquirer(self, series: Series, step: str) -> RemoteError | None:
        """Tells it to end the series; why it cannot."""
        try:
            told = self._acquirer.post(f"/{step}", step=step, timeout_s=self._ending_s("acquirer"))
        except RemoteError as error:
            return error
        if told.boot_id != series.acquirer_boot:  # it says yes, and knows nothing of the series
            return self._observer.error(step, Debt("acquirer", f"restarted in the middle of {series.id}", Cause.ENDED))
        return None

    def _insist(self, command: Callable[[], object]) -> None:
        """Gives a command again while it is refused: a recorder that starts its writer again refuses for a moment."""
        deadline = time.monotonic() + self.deadlines.command_s
        while True:
            try:
                command()
                return
            except RemoteError:
                if time.monotonic() > deadline:
                    raise
            self._observer.rest(_AGAIN_S)

    def _ending_s(self, role: Role) -> float:
        """A process that has fallen silent is still told to end (it may come to itself), but hardly waited for."""
        return self.deadlines.offline_s if getattr(self.snapshot, role) is None else self.deadlines.close_s

    def _abandon(self, why: str) -> None:
        """Ends what is armed as well as that can be done; never raises, so that the first error is the one seen."""
        acquirer = self.snapshot.acquirer
        whose = f"detector {acquirer.name!r}" if acquirer else f"the detector at {self._acquirer.url}"
        log.warning("%s: series %s is abandoned: %s", whose, self._last_id, why)
        steps: list[tuple[Role, DaemonClient[Any] | RecorderGroup, str]] = [
            ("acquirer", self._acquirer, "/abort"),
            ("recorder", self._recorder, "/stop"),
        ]
        replies: list[Any] = []
        for role, client, path in steps:
            try:
                replies.append(
                    client.post(path, step="abort", timeout_s=min(self._ending_s(role), self.deadlines.command_s))
                )
            except RemoteError as error:
                log.warning("%s", error)
        self._follow(None)
        if self._last_id and len(replies) == len(steps) and replies[0].series_id == self._last_id:
            self._await_the_end(self._last_id)

    def _await_the_end(self, series_id: str) -> None:
        """The acquirer had sent the series-start; it and the series-end may still be on their way to the recorder."""
        try:
            self._observer.wait(until_ended(series_id, self.deadlines.command_s))
        except RemoteError as error:
            log.warning("%s", error)

    def _follow(self, series: Series | None) -> None:
        self._series, self._next_frame = series, 0
        self._last_id = series.id if series else self._last_id
        self._observer.follow(series)


def _recorder_client(
    url: str | Sequence[str], token: str | None, away_s: float
) -> DaemonClient[RecorderStatus] | RecorderGroup:
    urls = [url] if isinstance(url, str) else list(url)
    if len(urls) > 1:
        return RecorderGroup(urls, token, away_s)
    return DaemonClient("recorder", urls[0], RecorderStatus, token)


def _frame_bytes(frame: FrameDescription | None) -> int | None:
    """Room that a frame takes in the file, where that is known: compressed ones differ, and take less."""
    if frame is None or frame.compression != "none":
        return None
    return (1 + len(frame.channels)) * part_bytes(Part(name="image", shape=frame.shape, dtype=frame.dtype))


def _growth(goal: Goal, progress: Callable[[int], None]) -> Callable[[Snapshot], None]:
    """A listener that reports each growth of the frames done."""
    last = -1

    def listener(snapshot: Snapshot) -> None:
        nonlocal last
        done = goal.done(snapshot)
        if done > last:
            last = done
            progress(done)

    return listener
