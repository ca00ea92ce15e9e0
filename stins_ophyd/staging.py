"""What happens between stage and unstage: one file, one series, either step by step or flown."""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from enum import Enum

import msgspec

from stins import StinsError
from stins.control import NumbersRequest, Preview, SeriesState, SeriesStatus

from .controller import Controller, ControllerError, FramesLostError, Goal, Snapshot
from .controller.errors import InterruptedWaitError
from .controller.numbers import numbered_rows
from .controller.triggering import Begun
from .trigger_info import DetectorTrigger, TriggerInfo

__all__ = ["Staging", "Step", "Taken"]

log = logging.getLogger(__name__)

_PREVIEW_S = 1.0
#: Numbers that did not come are waited for so many times shorter with the next point.
_LATE = 60


class Step(Enum):
    """How far a staging has got."""

    STAGED = "staged"
    POINTS = "taking points"
    PREPARED = "prepared to fly"
    FLYING = "flying"
    FLOWN = "flown"
    ENDED = "ended"


class Taken(msgspec.Struct, frozen=True):
    """What is known of a point's last frame: its preview, if one came, and the numbers that were asked for."""

    preview: Preview | None
    numbers: Mapping[str, float]


class Staging:
    """Drives the controller through the series of one staging. Its methods wait; each wait has a deadline.

    `name_file` and `numbers` are asked when the series is armed: a series without a file name is not recorded, and no
    numbers are computed where None are wanted. `account` is the recorder's latest account of the series, and stays
    when the series is over. `planned` is what was prepared.
    """

    def __init__(
        self,
        controller: Controller,
        name_file: Callable[[], str | None],
        numbers: Callable[[], NumbersRequest | None] = lambda: None,
    ) -> None:
        self._controller = controller
        self._name_file = name_file
        self._filename: str | None = None
        self._ask_numbers = numbers
        self._numbers: NumbersRequest | None = None
        self._series_id = ""
        self._goal: Goal | None = None
        self.planned: TriggerInfo | None = None
        self._preview_s = _PREVIEW_S
        self._flown = False
        self._numbers_late = False
        self._silence_s: float | None = None
        self._stepping = threading.Lock()  # the worker takes steps, and the RunEngine ends them
        self.step = Step.STAGED
        self.why = ""
        self.frames_per_event = 1
        self.account: SeriesStatus | None = None
        self._forget = controller.subscribe(self._note)

    # -- step by step ---------------------------------------------------------------------------

    def begin(self, event: int, frames: int) -> Begun | None:
        """Sends the trigger of a further event, where that needs no wait, for `take` or `drop`; None elsewhere."""
        if self.step is not Step.POINTS or frames != self.frames_per_event:
            return None
        return self._controller.begin_trigger(event * frames)

    def take(self, event: int, frames: int, progress: Callable[[int], None], begun: Begun | None = None) -> Taken:
        """Takes the frames of one event, again if it was taken before; returns what is known of the last one.

        Arms the detector with the first event. `begun` is what `begin` has returned.
        """
        if begun is not None:
            with _EndOnFailure(self):
                return self._taken(self._controller.confirm(begun), progress, begun.before.previews)
        prepared = self.step is Step.PREPARED and self.planned is not None and self.planned.may_step
        if not prepared:
            self.check("trigger", Step.STAGED, Step.POINTS)
        if self.step is not Step.STAGED and frames != self.frames_per_event:
            raise StinsError(f"trigger: got {frames} frames, expected {self.frames_per_event} as armed; unstage first")
        with _EndOnFailure(self):
            if self.step is Step.STAGED:
                self._arm(self._points_of(frames), triggers=None)
            if self.step is not Step.POINTS:
                self._flown = False
                self._advance(Step.POINTS)
            stale = self._controller.snapshot.previews
            goal = self._controller.trigger(first_frame=event * frames)
            return self._taken(goal, progress, stale)

    def drop(self, begun: Begun, error: Exception) -> None:
        """What `begin` has returned will not be taken, because of `error`, which ends the series."""
        try:
            self.fail(error)
        finally:
            begun.drop()

    def _taken(self, goal: Goal, progress: Callable[[int], None], stale: Collection[Preview]) -> Taken:
        account = self.account = self._controller.wait_for(goal, progress, silence_s=self._silence_s)
        rows = goal.first + goal.frames - account.discarded
        values = self._numbers_of(rows)
        return Taken(self._preview_of(rows - 1, stale), values)

    def _points_of(self, frames: int) -> TriggerInfo:
        silence_s = self.planned.exposure_timeout if self.planned else 0.0
        return TriggerInfo(trigger=DetectorTrigger.SOFTWARE, collections_per_event=frames, exposure_timeout=silence_s)

    # -- flown ----------------------------------------------------------------------------------

    def prepare(self, info: TriggerInfo) -> None:
        """Arms a series that will run by itself, as a whole or by so many events after each kickoff.

        One of a single event is armed such that points can be taken too: what comes next says which of the two it is.
        """
        self.check("prepare", Step.STAGED)
        self.planned = info
        if info.trigger is DetectorTrigger.SOFTWARE:
            return
        with _EndOnFailure(self):
            self._arm(info, triggers=None if info.may_step else info.frames // info.frames_per_trigger)
            self._advance(Step.PREPARED)

    def start(self) -> None:
        """Starts it, or its next part."""
        self.check("kickoff", Step.PREPARED)
        in_parts = self.planned is not None and self.planned.kickoffs > 1
        with _EndOnFailure(self):
            self._flown = True
            self._goal = self._controller.trigger(pulses_take=self.frames if in_parts else None)
            self._advance(Step.FLYING)

    def finish(self, progress: Callable[[int], None]) -> None:
        """Waits until every frame of the kickoff is in the file; after the last one it is closed and complete."""
        self.check("complete", Step.FLYING)
        assert self._goal is not None  # noqa: S101  # start sets both
        with _EndOnFailure(self):
            account = self.account = self._controller.wait_for(self._goal, progress, silence_s=self._silence_s)
            ended = self._goal.closes
            if self.planned is not None and self.planned.may_step:  # it could have had further points
                account = self.account = self._controller.disarm() or account
                self._check_complete()
                ended = True
            # Of a series that is over all, and their file closed: whoever is told so may open it.
            self._await_numbers(None if ended else account.rows)
            self._advance(Step.FLOWN if ended else Step.PREPARED)

    @property
    def frames(self) -> int:
        """The frames of each kickoff, as prepared; 0 before."""
        return 0 if self.planned is None else self.planned.frames // self.planned.kickoffs

    @property
    def events_per_kickoff(self) -> int:
        """How many each kickoff takes, as prepared; 0 before."""
        return 0 if self.planned is None else self.planned.number_of_events // self.planned.kickoffs

    @property
    def flown(self) -> bool:
        """Whether the series runs, or ran, by itself, or is armed for nothing else."""
        return self._flown

    @property
    def flies(self) -> bool:
        """Whether a series takes frames by itself, or may: one that waits for its first kickoff does not."""
        by_pulses = self.planned is not None and self.planned.mode == "external"
        return self.step is Step.FLYING or (self.step is Step.PREPARED and (by_pulses or self._goal is not None))

    def is_prepared(self, info: TriggerInfo) -> bool:
        """Whether just that was prepared, and nothing was kicked off: the RunEngine says it again after a pause."""
        return self.planned == info and self._goal is None and self.step in (Step.STAGED, Step.PREPARED, Step.POINTS)

    @property
    def events(self) -> int:
        """How many whole events are flushed, with their numbers if these come, up to the first missing frame."""
        if self.account is None:
            return 0
        rows, missing = numbered_rows(self.account), self.account.missing_frames
        if self._numbers_late:
            rows = self.account.rows
        if self._goal is not None:
            # What a pulse took beyond that is of no kickoff.
            rows = min(rows, self._goal.first + self._goal.frames - self.account.discarded)
        if missing:
            # An empty row must not become an event; rows beyond it would shift.
            rows = min(rows, max(missing[0][0] - self.account.discarded, 0))
        return rows // self.frames_per_event

    # -- the end --------------------------------------------------------------------------------

    def end(self, *, aborted: bool, why: str = "ended", keep: bool = False) -> None:
        """Ends the series, if there is one, and waits until its file is closed. Ending twice does no harm.

        A series that was to run by itself and isn't over is aborted, unless the detector may have images of it that are
        not recorded yet, and those are to be kept. Points whose file is not complete when it
        is closed (the recorder died after the last of them) raise `StinsError`.
        """
        with self._stepping:
            step, self.step, self.why = self.step, Step.ENDED, self.why or why
        try:
            if keep and step in (Step.POINTS, Step.FLYING):
                self.account = self._controller.disarm() or self.account
            elif step in (Step.PREPARED, Step.FLYING) or (aborted and step is not Step.ENDED):
                self._controller.abort(why)
            elif step is Step.POINTS:
                self.account = self._controller.disarm() or self.account
                self._check_complete()
                self._await_last_numbers()
        finally:
            if step is not Step.ENDED:
                self._forget()

    def _check_complete(self) -> None:
        account = self.account
        if account is None or account.state is not SeriesState.COMPLETE:
            state = account.state.value if account else "unknown"
            why = f": {account.reason}" if account and account.reason else ""
            raise StinsError(f"{self._filename}: the series is {state} at its end, expected complete{why}")

    def fail(self, error: BaseException) -> None:
        """Ends the series because of `error`, as well as that can be done."""
        try:
            self.end(aborted=True, why=str(error) or repr(error), keep=isinstance(error, FramesLostError))
        except StinsError as second:
            log.warning("while ending the series: %s", second)

    def _advance(self, step: Step) -> None:
        with self._stepping:
            if self.step is not Step.ENDED:
                self.step = step
                return
        # Whoever ended it while it was being armed may have found nothing that was armed yet.
        self._controller.abort(self.why)
        raise StinsError(f"before it was {step.value}")

    def _arm(self, info: TriggerInfo, *, triggers: int | None) -> None:
        self._filename, self._numbers = self._name_file(), self._ask_numbers()
        self.frames_per_event = info.collections_per_event
        self._flown = not info.may_step
        self._silence_s = info.exposure_timeout or None
        self.account = self._controller.arm(
            self._filename,
            trigger_mode=info.mode,
            frames_per_trigger=info.frames_per_trigger,
            triggers=triggers,
            numbers=self._numbers,
        )
        self._series_id = self.account.series_id or ""

    def check(self, what: str, *steps: Step) -> None:
        """Raises `StinsError` unless that is possible now."""
        if self.step in steps:
            return
        if self.step is Step.ENDED:
            raise StinsError(f"{what}: the series of this staging has ended ({self.why}); stage the detector again")
        expected = " or ".join(step.value for step in steps)
        raise StinsError(
            f"{what}: the detector is {self.step.value}, expected {expected}; a staging has one series, "
            "so unstage and stage for another (a fly series cannot go on after a pause: fly_series() says so to the "
            "RunEngine by clear_checkpoint)"
        )

    def _note(self, snapshot: Snapshot) -> None:
        if self._series_id and (account := snapshot.series(self._series_id)):
            self.account = account

    def _await_numbers(self, rows: int | None) -> None:
        """Where numbers are asked for, those of so many rows; None: of all, once the series is over.

        The frames are safe by now: numbers that do not come are done without, and hardly waited for again.
        """
        if self._numbers is None or self._filename is None:
            return
        limit_s = self._controller.deadlines.numbers_s / (_LATE if self._numbers_late else 1)
        try:
            account = self._controller.wait_for_numbers(self._series_id, rows, timeout_s=limit_s)
        except InterruptedWaitError:
            raise
        except ControllerError as error:
            log.warning("%s: the run goes on without them: %s", self._filename, error)
            self._numbers_late = True
        else:
            self.account, self._numbers_late = account or self.account, False

    def _numbers_of(self, rows: int) -> Mapping[str, float]:
        """Waits for the numbers of so many rows; those of the last one."""
        self._await_numbers(rows)
        account = self.account
        return account.numbers_values if account is not None and account.numbers_rows == rows else {}

    def _await_last_numbers(self) -> None:
        """Every event has its own by now; what is left is the end of their file."""
        try:
            self._await_numbers(None)
        except StinsError as error:
            log.warning("%s", error)

    def _preview_of(self, row: int, stale: Collection[Preview]) -> Preview | None:
        """The preview of that row, a new one if the frame was taken again; None if it doesn't come soon."""
        preview = self._controller.wait_for_preview(row, stale, self._preview_s)
        # A recorder without previews must not cost a second with each point.
        self._preview_s = _PREVIEW_S if preview else _PREVIEW_S / 10
        return preview


class _EndOnFailure:
    """Whatever fails inside ends the series, so that nothing stays armed."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Exception):
            return
        if self._staging.step is Step.ENDED:
            # Somebody ended it meanwhile: that is the reason, what was raised is only how it showed.
            raise StinsError(f"the series was ended ({self._staging.why}): {error}") from error
        self._staging.fail(error)
