"""What plans for detectors that run by themselves are made of: for plans of your own, not for a queue."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.protocols import Stoppable
from bluesky.utils import FailedPause, FailedStatus, short_uid

from stins import StinsError

from ..trigger_info import TriggerInfo
from .outcome import told_at_the_end
from .support import Detectors, Messages, flying, listed, settings_wrapper, those_that_fly

__all__ = [
    "collect_rest",
    "declare_flight",
    "fly_once",
    "fly_prepared",
    "fly_run",
    "prepare_flight",
    "settings_wrapper",
]

log = logging.getLogger(__name__)

#: How long an axis that is told to stop may take.
_STOP_S = 10.0


def fly_run(
    detectors: Detectors,
    info: TriggerInfo | int,
    *,
    axes: Mapping[Any, Any] | None = None,
    stream_name: str = "primary",
    flush_period_s: float = 0.2,
    md: dict[str, Any] | None = None,
) -> Messages:
    """One staging, one run, one flight.

    What flies beside the detectors has events of its own in a stream AXIS_positions. It is where it begins before the
    detectors are armed, it is staged with them, and stopped if the flight fails. At the end a line for each detector is
    printed: frames, rate, file, outcome.

    Parameters
    ----------
    detectors : Readable or list of Readable
        Detectors that fly.
    info : TriggerInfo or int
        What each is to take; or a number of frames.
    axes : dict
        What flies beside them, each with what it is prepared with. One that moves by itself from its kickoff on is to
        stop when it is unstaged, for nothing else stops it after RE.halt().
    stream_name : str
        Name of the stream of events.
    flush_period_s : float
        How often the documents are brought up to date, in seconds.
    md : dict
        Meta data of the run.
    """
    flyers, flights, group = those_that_fly(detectors), flying(axes or {}), short_uid("axes")
    events = TriggerInfo.of(info).number_of_events
    about = {"plan_name": "fly_run", "detectors": [flyer.name for flyer in flyers], "num_points": events}
    about |= _dimensions(list(flights), stream_name)

    def run() -> Messages:
        yield from _get_ready(flyers, info, flights, group)
        yield from _with_a_reason(
            fly_prepared(flyers, axes=list(flights), stream_name=stream_name, flush_period_s=flush_period_s)
        )

    # The axes too: unstaging ends their flight, however the run ends. The RunEngine stops only what was set.
    plan = bpp.stage_wrapper(bpp.run_wrapper(run(), md=about | (md or {})), [*flyers, *flights])
    return (yield from told_at_the_end(plan, flyers))


def _get_ready(flyers: Sequence[Any], info: TriggerInfo | int, axes: Mapping[Any, Any], group: str) -> Messages:
    """Brings the axes to where they begin, then arms the detectors; where one cannot, the axes are stopped."""

    def ready() -> Messages:
        for axis, course in axes.items():
            yield from bps.prepare(axis, course, group=_of(axis, group))
        # First: an axis that passes points on its way to the start gives pulses, and they would be taken for frames.
        for axis in axes:
            yield from bps.wait(group=_of(axis, group))
        yield from prepare_flight(flyers, info)

    yield from bpp.contingency_wrapper(ready(), except_plan=lambda _: _stop(list(axes), group))


def _dimensions(axes: Sequence[Any], stream_name: str) -> dict[str, Any]:
    """Over what the run goes: its axes' places, or time. BestEffortCallback would look for an axis beside the frames.

    Axes that fly together are one dimension, and that is in one stream: the first one's.
    """
    if not axes:
        return {"hints": {"dimensions": [(["time"], stream_name)]}}
    first = axes[0]
    fields = getattr(first, "hints", {}).get("fields") or [first.name]
    dimensions = [(list(fields), _positions_of(first))]
    return {"motors": [axis.name for axis in axes], "hints": {"dimensions": dimensions}}


def _with_a_reason(flight: Messages) -> Messages:
    """bluesky ends a run that cannot be paused by an error without a text, and the stop document would have none."""
    try:
        return (yield from flight)
    except FailedPause as error:
        # A suspender pauses too, and bluesky tells its reason to the console alone.
        why = "paused in the middle of a fly series, which cannot be resumed; take it again"
        raise FailedPause(f"{why}. If nobody paused it, a suspender did: see the RunEngine's output") from error


def prepare_flight(detectors: Detectors, info: TriggerInfo | int) -> Messages:
    """Arms the detectors, which are staged, all at the same time, and waits until they are.

    Parameters
    ----------
    detectors : Readable or list of Readable
        Detectors that fly.
    info : TriggerInfo or int
        What they are to take, the same for each; or a number of frames.
    """
    group = short_uid("prepare")
    for detector in those_that_fly(detectors):
        yield from bps.prepare(detector, info, group=group)
    yield from bps.wait(group=group)


def fly_prepared(
    detectors: Detectors, *, axes: Sequence[Any] = (), stream_name: str = "primary", flush_period_s: float = 0.2
) -> Messages:
    """Declares the stream of the detectors, which are armed, and lets them fly: `declare_flight`, `fly_once`.

    Parameters
    ----------
    detectors : Readable or list of Readable
        Detectors that are prepared.
    axes : list of Flyable
        What flies beside them, prepared too, with events of its own in a stream AXIS_positions.
    stream_name : str
        Name of the detectors' stream of events.
    flush_period_s : float
        How often the documents are brought up to date, in seconds.
    """
    yield from declare_flight(detectors, axes=axes, stream_name=stream_name)
    yield from fly_once(detectors, axes=axes, stream_name=stream_name, flush_period_s=flush_period_s)


def declare_flight(detectors: Detectors, *, axes: Sequence[Any] = (), stream_name: str = "primary") -> Messages:
    """Declares the stream of the detectors, which are armed, in an open run.

    Several detectors share the stream: its events are those that all of them have. A pause ends the run from here on,
    for a detector that ran cannot be rewound.

    Parameters
    ----------
    detectors : Readable or list of Readable
        Detectors that are prepared.
    axes : list of Flyable
        What flies beside them; each has a stream AXIS_positions.
    stream_name : str
        Name of the detectors' stream of events.
    """
    for axis in axes:
        yield from bps.declare_stream(axis, name=_positions_of(axis), collect=True)
    yield from bps.declare_stream(*listed(detectors), name=stream_name, collect=True)
    # Without a checkpoint the RunEngine cannot replay: it would kick off again what has run.
    yield from bps.clear_checkpoint()


def fly_once(
    detectors: Detectors, *, axes: Sequence[Any] = (), stream_name: str = "primary", flush_period_s: float = 0.2
) -> Messages:
    """Kicks the detectors off and tells of their frames until all of them are done with what this kickoff has.

    Where one fails, or the RunEngine pauses, the axes are stopped and the other series are ended; then all frames that
    are in the files are told.

    Parameters
    ----------
    detectors : Readable or list of Readable
        Detectors whose stream is declared.
    axes : list of Flyable
        What flies beside them.
    stream_name : str
        Name of the detectors' stream of events.
    flush_period_s : float
        How often the documents are brought up to date, in seconds.
    """
    flyers, group = listed(detectors), short_uid("complete")

    def flight() -> Messages:
        yield from bps.kickoff_all(*flyers, *axes, wait=True)
        yield from bps.complete_all(*flyers, group=group, wait=False)
        for axis in axes:
            yield from bps.complete(axis, group=_of(axis, group), wait=False)
        yield from _collect_until_done(group, flyers, stream_name, flush_period_s)
        for axis in axes:
            yield from bps.wait(group=_of(axis, group))

    def broken_off(_: Exception) -> Messages:
        yield from _stop(axes, group)
        yield from _end_series(flyers)
        yield from _collect_all(flyers, stream_name)

    def tell_of_axes() -> Messages:
        for axis in axes:
            yield from bps.collect(axis, name=_positions_of(axis))

    yield from bpp.contingency_wrapper(flight(), except_plan=broken_off, final_plan=tell_of_axes)


def _collect_until_done(group: str, detectors: list[Any], stream_name: str, period_s: float) -> Messages:
    """As bluesky's collect_while_completing, which never ends where nobody answers: in `summarize_plan`."""
    done: bool | None = False
    while done is False:
        done = yield from bps.wait(group=group, timeout=period_s, error_on_timeout=False)
        yield from bps.collect(*detectors, name=stream_name)


def _stop(axes: Sequence[Any], group: str) -> Messages:
    """Stops them and waits until they stand; that a flight failed by that is no news."""
    for axis in axes:
        # Its failure comes here, and not into what is to be told yet.
        with suppress(FailedStatus):
            if isinstance(axis, Stoppable):
                yield from bps.stop(axis)
            yield from bps.wait(group=_of(axis, group), timeout=_STOP_S, error_on_timeout=False)


def _end_series(detectors: Sequence[Any]) -> Messages:
    """Ends what still flies, and waits until the files are closed: then it is known which frames are in them."""
    for detector in detectors:
        # Why the flight was broken off is the error to be seen; that this ends other detectors' is no news.
        try:
            if isinstance(detector, Stoppable):
                yield from bps.stop(detector)
        except FailedStatus:
            continue
        except StinsError as error:
            log.warning("%s: %s", detector.name, error)


def _collect_all(detectors: Sequence[Any], stream_name: str) -> Messages:
    """As `collect_rest`; again, where the failure of one that was ended came in between."""
    for _ in detectors:
        with suppress(FailedStatus):
            return (yield from collect_rest(detectors, stream_name=stream_name))
    yield from collect_rest(detectors, stream_name=stream_name)


def _of(axis: Any, group: str) -> str:
    """Each axis has a group of its own: a wait is over with the first one in it that fails."""
    return f"{group}-{axis.name}"


def _positions_of(axis: Any) -> str:
    return f"{axis.name}_positions"


def collect_rest(detectors: Detectors, *, stream_name: str = "primary") -> Messages:
    """Tells of what is flushed and was not told yet.

    Parameters
    ----------
    detectors : Readable or list of Readable
        Detectors that fly, or flew.
    stream_name : str
        Name of their stream.
    """
    yield from bps.collect(*listed(detectors), name=stream_name)
