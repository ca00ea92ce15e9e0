"""Runs that are interrupted at a chosen moment in a chosen way, for the table in test_interruptions.py."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import h5py
import numpy as np
from bluesky import Msg, RunEngine
from bluesky.suspenders import SuspendBoolHigh
from bluesky.utils import RunEngineInterrupted
from ophyd import Signal
from ophyd.sim import SynAxis

from stins.control import SeriesState, SeriesStatus
from stins_ophyd import CombinedState, PulsingAxis, Snapshot, StinsDetector, TriggerInfo
from stins_ophyd.plans import dark_series, fly_scan, fly_series, take_live
from tests.stins_ophyd.chain import Documents

__all__ = ["PLANS", "Row", "Stand", "account", "compare"]

#: Long enough that an interruption comes before it is over, on a busy machine too.
EXPOSURE_S = 0.12
Moment = Literal["arming", "exposing", "saved", "told"]
How = Literal["immediate", "deferred", "suspended"]
Then = Literal["resume", "abort", "stop", "halt", ""]


@dataclass(frozen=True)
class Row:
    """What is interrupted, when and how, what is done then, and what has to come of it.

    `outcome`, `events` and `retaken` are None where they depend on the moment. `then` is empty where the RunEngine
    itself ends the run, and `exit_status` where there is no run. `raises` is in the text of the exception, and in the
    stop document's reason.
    """

    plan: str
    moment: Moment
    how: How
    then: Then
    exit_status: str
    outcome: SeriesState | None = SeriesState.COMPLETE
    events: int | None = None
    retaken: int | None = 0
    raises: str = ""

    def __str__(self) -> str:
        return "-".join(part for part in (self.plan, self.moment, self.how, self.then) if part)


@dataclass
class Stand:
    """A RunEngine, the detectors in its plans, and what it tells."""

    engine: RunEngine
    detectors: list[StinsDetector]
    documents: Documents
    motors: list[SynAxis] = field(default_factory=lambda: [SynAxis(name="x"), SynAxis(name="y")])
    axis: PulsingAxis = field(init=False)
    shutter: Signal = field(default_factory=lambda: Signal(name="shutter", value="open"))

    def __post_init__(self) -> None:
        self.axis = PulsingAxis(name="axis", pulses=[detector.controller.pulse for detector in self.detectors])

    def interrupt(self, row: Row) -> Exception | None:
        """Runs the row's plan, interrupts it and does then what the row says; what it raised, if it did."""
        plan, frames = PLANS[row.plan](self)
        with _moment(self, row.moment, frames) as moment, _suspender(self, row) as suspend:
            interrupter = threading.Thread(target=self._interrupt, args=(row, moment, suspend), name="interrupter")
            interrupter.start()
            try:
                return self._run(plan, row)
            finally:
                moment.set()
                interrupter.join(20)

    def _interrupt(self, row: Row, moment: threading.Event, suspend: Callable[[], None]) -> None:
        if not moment.wait(20):
            return
        if row.how == "suspended":
            suspend()
        else:
            self.engine.request_pause(defer=row.how == "deferred")

    def _run(self, plan: Any, row: Row) -> Exception | None:
        try:
            self.engine(plan)
        except RunEngineInterrupted:
            if self.engine.state == "paused":
                return self._go_on(row)
        except Exception as error:  # what it is, the row says
            return error
        return None

    def _go_on(self, row: Row) -> Exception | None:
        try:
            getattr(self.engine, row.then)()
        except Exception as error:  # as above
            return error
        return None


@contextmanager
def _moment(stand: Stand, moment: Moment, frames: int) -> Iterator[threading.Event]:
    """An event that is set when it has come; `exposing` is in the second point."""
    come = threading.Event()
    if moment == "exposing":
        controller = stand.detectors[0].controller
        forget = controller.subscribe(lambda now: come.set() if frames_sent(frames)(now) else None)
        yield come
        forget()
        return
    document = {"arming": "start", "saved": "event", "told": "stream_datum"}[moment]
    token = stand.engine.subscribe(lambda _, doc: come.set(), document)
    yield come
    stand.engine.unsubscribe(token)


@contextmanager
def _suspender(stand: Stand, row: Row) -> Iterator[Callable[[], None]]:
    """Suspends the engine, until it waits for the beam: it comes back then, or somebody loses patience."""
    beam = Signal(name="no_beam", value=0)
    suspender = SuspendBoolHigh(beam)

    def hook(message: Msg) -> None:
        if message.command == "wait_for":
            if row.then == "resume":
                threading.Thread(target=beam.put, args=(0,), name="beam").start()
            else:
                threading.Thread(target=stand.engine.request_pause, name="patience").start()

    if row.how == "suspended":
        stand.engine.install_suspender(suspender)
        stand.engine.msg_hook = hook
    yield lambda: beam.put(1)
    if row.how == "suspended":
        stand.engine.msg_hook = None
        stand.engine.remove_suspender(suspender)


def frames_sent(number: int) -> Callable[[Snapshot], bool]:
    """Whether the acquirer is at that frame of a series."""
    return lambda now: bool(
        now.state is CombinedState.ACQUIRING and now.acquirer and now.acquirer.frames_sent >= number
    )


def is_idle(detector: StinsDetector) -> bool:
    """Whether nothing is armed, in either process."""
    return detector.controller.snapshot.state is CombinedState.IDLE and detector.controller.series is None


def account(detector: StinsDetector) -> SeriesStatus:
    """The recorder's account of the last series, which has to be closed, with both processes idle."""
    snapshot = detector.controller.snapshot
    assert is_idle(detector)
    assert snapshot.recorder is not None
    assert snapshot.recorder.series is not None
    return snapshot.recorder.series


def compare(stand: Stand, row: Row, pool: list[np.ndarray]) -> None:
    """Whether documents, counts and file of each detector are as the row says, and agree; the rest is as it was."""
    assert not stand.axis.flies
    # What a plan closes it opens again, unless it is not let come to its end.
    assert stand.shutter.get() == ("closed" if row.plan == "dark_series" and row.then == "halt" else "open")
    settings = [[each.exposure_s.get(), each.frames.get(), each.recorded.get()] for each in stand.detectors]
    frames = PLANS[row.plan](stand)[1]
    assert settings == [[EXPOSURE_S / frames, frames, True]] * len(stand.detectors)
    # Of points, the events: an event that is repeated has its number again, so that bluesky counts it once.
    ends = [stop["num_events"].get("primary", 0) for stop in stand.documents.of("stop")]
    events = len(stand.documents.of("event")) or sum(ends)
    assert row.events in (None, events)
    for detector in stand.detectors:
        assert is_idle(detector)
        if row.outcome is None and not events:
            continue  # it may have been too early for a file
        series = account(detector)
        assert row.outcome in (None, series.state)
        assert row.retaken in (None, series.retaken)
        indices = told(stand.documents, f"{detector.name}_image")
        assert [start for start, _ in indices] == [0, *(stop for _, stop in indices)][: len(indices)]
        assert (indices[-1][1] if indices else 0) == events
        if series.state is SeriesState.COMPLETE and series.file is not None:
            assert series.rows == events * frames
        _compare_file(series, events * frames, pool)


def _compare_file(series: SeriesStatus, told: int, pool: list[np.ndarray]) -> None:
    """The file says what became of the series, and has each frame once, in its place, also those that were told."""
    if series.file is None:
        assert told == 0
        return
    with h5py.File(series.file) as file:
        assert file["/entry/series/outcome"][()].decode() == series.state.value
        if series.dataset is None:
            assert told == 0
            return
        numbers = file["/entry/instrument/detector/sequence_number"][()].tolist()
        images = file[series.dataset][()]
    assert numbers == list(range(series.rows))
    assert series.rows >= told
    assert len(images) == series.rows
    assert all(np.array_equal(image, pool[number % len(pool)]) for number, image in enumerate(images))


def told(documents: Documents, key: str) -> list[tuple[int, int]]:
    """What the StreamDatum documents of that key cover."""
    resources = {doc["uid"] for doc in documents.of("stream_resource") if doc["data_key"] == key}
    return [
        (doc["indices"]["start"], doc["indices"]["stop"])
        for doc in documents.of("stream_datum")
        if doc["stream_resource"] in resources
    ]


# -- the plans: each with the frames of its points -----------------------------------------------


def _slow(stand: Stand, frames: int) -> None:
    for detector in stand.detectors:
        detector.configure({"exposure_s": EXPOSURE_S / frames, "period_s": EXPOSURE_S / frames, "frames": frames})


def _count(stand: Stand) -> tuple[Any, int]:
    _slow(stand, 1)
    return bp.count(stand.detectors, 3), 1


def _count_with_delay(stand: Stand) -> tuple[Any, int]:
    """bluesky has a checkpoint between a point and its delay."""
    _slow(stand, 1)
    return bp.count(stand.detectors, 2, delay=0.5), 1


def _lingering(stand: Stand) -> tuple[Any, int]:
    """Something else comes between a point and the next checkpoint."""
    _slow(stand, 1)

    def plan() -> Iterator[Any]:
        for _ in range(2):
            yield from bps.checkpoint()
            yield from bps.trigger_and_read(stand.detectors)
            yield from bps.sleep(0.4)

    return bpp.stage_wrapper(bpp.run_wrapper(plan()), stand.detectors), 1


def _count_of_three(stand: Stand) -> tuple[Any, int]:
    _slow(stand, 3)
    return bp.count(stand.detectors, 3), 3


def _setting(stand: Stand) -> tuple[Any, int]:
    """A detector that was set in the plan counts as something that moves: a suspension stops it."""
    _slow(stand, 1)

    def plan() -> Iterator[Any]:
        for detector in stand.detectors:
            yield from bps.mv(detector.exposure_s, EXPOSURE_S)
        yield from bp.count(stand.detectors, 3)

    return plan(), 1


def _scan(stand: Stand) -> tuple[Any, int]:
    _slow(stand, 1)
    return bp.scan(stand.detectors, stand.motors[0], 0, 1, 3), 1


def _grid_scan(stand: Stand) -> tuple[Any, int]:
    _slow(stand, 1)
    return bp.grid_scan(stand.detectors, stand.motors[0], 0, 1, 2, stand.motors[1], 0, 1, 2), 1


def _fly(stand: Stand) -> tuple[Any, int]:
    _slow(stand, 1)
    return fly_series(stand.detectors[0], 5, flush_period_s=0.1), 1


def _fly_scan(stand: Stand) -> tuple[Any, int]:
    """Slow, so that an axis that is not stopped flies on behind the end of its run."""
    _slow(stand, 1)
    return fly_scan(stand.detectors, stand.axis, 0, 1, 9, time_s=2.4, exposure_s=0.01), 1


def _dark_series(stand: Stand) -> tuple[Any, int]:
    _slow(stand, 1)
    return dark_series(stand.detectors, 5, shutter=stand.shutter), 1


def _take_live(stand: Stand) -> tuple[Any, int]:
    _slow(stand, 1)
    return take_live(stand.detectors, 8), 1


def _kickoffs(stand: Stand) -> tuple[Any, int]:
    """Three kickoffs of two frames."""
    _slow(stand, 1)
    detectors = stand.detectors

    def plan() -> Iterator[Any]:
        for detector in detectors:
            yield from bps.prepare(detector, TriggerInfo(6, events_per_kickoff=2), wait=True)
        yield from bps.declare_stream(*detectors, name="primary", collect=True)
        yield from bps.clear_checkpoint()
        for _ in range(3):
            yield from bps.kickoff_all(*detectors, wait=True)
            yield from bps.collect_while_completing(detectors, detectors, 0.1, "primary")

    return bpp.stage_wrapper(bpp.run_wrapper(plan()), detectors), 1


def _replayed(stand: Stand, *, checkpoint: bool = False) -> tuple[Any, int]:
    """A fly plan without clear_checkpoint: the RunEngine replays it after a pause."""
    _slow(stand, 1)
    detector = stand.detectors[0]

    def plan() -> Iterator[Any]:
        yield from bps.prepare(detector, 500, wait=True)
        yield from bps.declare_stream(detector, name="primary", collect=True)
        yield from bps.kickoff(detector, wait=True)
        if checkpoint:
            yield from bps.checkpoint()
        yield from bps.complete(detector, wait=True)
        yield from bps.collect(detector, name="primary")

    return bpp.stage_wrapper(bpp.run_wrapper(plan()), [detector]), 1


def _replayed_from_a_checkpoint(stand: Stand) -> tuple[Any, int]:
    return _replayed(stand, checkpoint=True)


def _loop(stand: Stand) -> tuple[Any, int]:
    """With a checkpoint in each loop the RunEngine takes the interrupted wait for done."""
    _slow(stand, 1)
    detector = stand.detectors[0]

    def plan() -> Iterator[Any]:
        yield from bps.prepare(detector, 500, wait=True)
        yield from bps.declare_stream(detector, name="primary", collect=True)
        yield from bps.kickoff(detector, wait=True)
        yield from bps.complete(detector, group="complete")
        done = False
        while not done:
            yield from bps.checkpoint()
            done = yield from bps.wait("complete", timeout=0.1, error_on_timeout=False)
            yield from bps.collect(detector, name="primary")

    return bpp.stage_wrapper(bpp.run_wrapper(plan()), [detector]), 1


#: By name: from the stand, the plan and how many frames each of its events has.
PLANS: dict[str, Callable[[Stand], tuple[Any, int]]] = {
    "count": _count,
    "delayed count": _count_with_delay,
    "lingering": _lingering,
    "count of 3": _count_of_three,
    "setting": _setting,
    "scan": _scan,
    "grid_scan": _grid_scan,
    "fly": _fly,
    "fly_scan": _fly_scan,
    "dark_series": _dark_series,
    "take_live": _take_live,
    "kickoffs": _kickoffs,
    "replayed": _replayed,
    "checkpoint": _replayed_from_a_checkpoint,
    "loop": _loop,
}
