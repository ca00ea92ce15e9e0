"""Series at the detectors' own pace, or at that of an axis."""

import math
from collections.abc import Generator, Sequence
from typing import Any

from bluesky import Msg
from bluesky.protocols import Movable, Readable

from stins import StinsError

from ..arguments import count_of, number_of, seconds_of
from ..pulsing_axis import AxisFlight
from ..trigger_info import DetectorTrigger, TriggerInfo
from .stubs import fly_run
from .support import Detectors, Messages, flying, ours, settings_of, settings_wrapper, those_that_fly

__all__ = ["fly_scan", "fly_series"]


def fly_series(
    detectors: Readable[Any] | Sequence[Readable[Any]],
    frames: int = 10,
    *,
    frames_per_event: int = 1,
    exposure_s: float = 0.0,
    deadtime_s: float = 0.0,
    flush_period_s: float = 0.2,
    stream_name: str = "primary",
    md: dict[str, Any] | None = None,
) -> Generator[Msg, Any, Any]:
    """Runs one series at the detectors' own pace, as one run.

    bluesky's own `fly` does not do for such detectors: it neither stages nor declares the stream. A pause ends the
    run (exit status `fail`), and whatever fails, the run's documents point at the frames that were flushed before.

    Several detectors are started one right after the other, each with a file of its own, in one stream: event n has
    the n-th frames of all. For exposures that begin together, trigger them by a cable.

    Parameters
    ----------
    detectors : Readable or list of Readable
        One StinsDetector, or several.
    frames : int
        How many frames each takes; a multiple of `frames_per_event`.
    frames_per_event : int
        How many frames make one event.
    exposure_s : float
        Exposure of a frame in seconds, for this series; 0 leaves what is set.
    deadtime_s : float
        Time between two exposures in seconds; 0 leaves the period as it is set.
    flush_period_s : float
        How often the documents are brought up to date, in seconds.
    stream_name : str
        Name of the stream of events.
    md : dict
        Meta data of the run.
    """
    each = count_of("frames_per_event", frames_per_event)
    events, rest = divmod(count_of("frames", frames), each)
    if rest:
        raise StinsError(f"frames: got {frames}, expected a multiple of frames_per_event = {each}")
    info = TriggerInfo(number_of_events=events, collections_per_event=each)
    flush_period_s = seconds_of("flush_period_s", flush_period_s)
    exposure_s, deadtime_s = seconds_of("exposure_s", exposure_s), seconds_of("deadtime_s", deadtime_s)
    about = {"plan_name": "fly_series"} | (md or {})
    chosen = those_that_fly(detectors)
    plan = fly_run(chosen, info, stream_name=stream_name, flush_period_s=flush_period_s, md=about)
    return (yield from settings_wrapper(plan, chosen, exposure_s=exposure_s, deadtime_s=deadtime_s))


def fly_scan(
    detectors: Readable[Any] | Sequence[Readable[Any]],
    axis: Movable[Any],
    start: float,
    stop: float,
    points: int = 11,
    *,
    time_s: float = 1.0,
    exposure_s: float = 0.0,
    level: bool = False,
    flush_period_s: float = 0.2,
    md: dict[str, Any] | None = None,
) -> Generator[Msg, Any, Any]:
    """Moves an axis through its points without stopping; its pulses take a frame at each of them. One run.

    The frames are events of the stream primary, the places of the stream AXIS_positions; they belong together by their
    number. The axis is a PulsingAxis, or a device that can be prepared with an AxisFlight as it can. A pause ends the
    run; the axis is stopped then, as with whatever else ends it.

    Parameters
    ----------
    detectors : Readable or list of Readable
        One StinsDetector, or several, triggered by the axis.
    axis : Movable
        The axis.
    start : float
        Where the first point is.
    stop : float
        Where the last point is.
    points : int
        How many points there are, evenly in place and in time.
    time_s : float
        Time from the first to the last point in seconds.
    exposure_s : float
        Exposure of a frame in seconds, for this scan; 0 leaves what is set. Either must be less than the time between
        two points.
    level : bool
        Whether a pulse lasts as long as the exposure and is taken as such; else its edge begins an exposure.
    flush_period_s : float
        How often the documents are brought up to date, in seconds.
    md : dict
        Meta data of the run.
    """
    start, stop, points = number_of("start", start), number_of("stop", stop), count_of("points", points)
    time_s, exposure_s = seconds_of("time_s", time_s), seconds_of("exposure_s", exposure_s)
    flush_period_s = seconds_of("flush_period_s", flush_period_s)
    between_s = _between(points, time_s, exposure_s, level=level)
    trigger = DetectorTrigger.EXTERNAL_LEVEL if level else DetectorTrigger.EXTERNAL_EDGE
    axes = flying({axis: AxisFlight(start, stop, points, time_s, pulse_s=exposure_s if level else 0.0)})
    about = {"plan_name": "fly_scan"} | (md or {})
    chosen = those_that_fly(detectors)
    plan = fly_run(chosen, TriggerInfo(points, trigger), axes=axes, flush_period_s=flush_period_s, md=about)
    if not exposure_s:
        yield from _check_exposures(chosen, between_s)
    return (yield from settings_wrapper(plan, chosen, exposure_s=0.0 if level else exposure_s))


def _between(points: int, time_s: float, exposure_s: float, *, level: bool) -> float:
    """The time between two pulses in seconds.

    Raises:
        StinsError: there is none; or the exposure does not fit in there, or is not given where the pulse is to have
            its length.
    """
    if not time_s:
        raise StinsError("time_s: got 0, expected more than 0 s")
    if level and not exposure_s:
        raise StinsError("exposure_s: got 0 with level, expected how long a pulse is to last")
    between_s = time_s / (points - 1) if points > 1 else math.inf
    if exposure_s >= between_s:
        raise StinsError(f"exposure_s: got {exposure_s:g}, expected {_less_than(between_s)}")
    return between_s


def _check_exposures(detectors: Detectors, between_s: float) -> Messages:
    """What is set stays: whether it fits between two pulses has to be asked."""
    for detector in ours(detectors):
        exposure_s = (yield from settings_of(detector)).get("exposure_s", 0.0)
        if exposure_s >= between_s:
            got = f"{exposure_s:g}, which is set, expected {_less_than(between_s)}"
            raise StinsError(f"{detector.name}: exposure_s: got {got}; give an exposure_s, or more time_s")


def _less_than(between_s: float) -> str:
    return f"less than time_s / (points - 1) = {between_s:g}: the next pulse would come meanwhile"
