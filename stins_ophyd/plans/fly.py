"""A plan for a detector that runs by itself. Its parameters are annotated, so that queueserver can use it."""

from collections.abc import Generator
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky import Msg
from bluesky.protocols import Readable

from ..trigger_info import TriggerInfo

__all__ = ["fly_series"]


def fly_series(
    detector: Readable[Any],
    frames: int = 10,
    *,
    frames_per_event: int = 1,
    exposure_s: float = 0.0,
    flush_period_s: float = 0.2,
    stream_name: str = "primary",
    md: dict[str, Any] | None = None,
) -> Generator[Msg, Any, Any]:
    """Runs one series at the detector's own pace, as one run.

    bluesky's own `fly` does not do for such a detector: it neither stages nor declares the stream. A pause ends the
    run (exit status `fail`), and whatever fails, the run's documents point at the frames that were flushed before.

    Parameters
    ----------
    detector : Readable
        A StinsDetector.
    frames : int
        How many frames; a multiple of `frames_per_event`.
    frames_per_event : int
        How many frames make one event.
    exposure_s : float
        Exposure of a frame in seconds; 0 leaves what is set.
    flush_period_s : float
        How often the documents are brought up to date, in seconds.
    stream_name : str
        Name of the stream of events.
    md : dict
        Meta data of the run.
    """
    events, rest = divmod(frames, frames_per_event)
    if rest or not events:
        raise ValueError(f"frames: got {frames}, expected a positive multiple of frames_per_event = {frames_per_event}")
    info = TriggerInfo(number_of_events=events, collections_per_event=frames_per_event, livetime=exposure_s)
    about = {"plan_name": "fly_series", "detectors": [detector.name], "num_points": events, **(md or {})}

    def run() -> Generator[Msg, Any, Any]:
        yield from bps.prepare(detector, info, wait=True)
        yield from bps.declare_stream(detector, name=stream_name, collect=True)
        # From here on the RunEngine must not replay: a detector that ran cannot be rewound, so a pause ends the run.
        yield from bps.clear_checkpoint()
        yield from bps.kickoff(detector, wait=True)
        flight = bps.collect_while_completing([detector], [detector], flush_period_s, stream_name)
        yield from bpp.contingency_wrapper(flight, except_plan=lambda _: bps.collect(detector, name=stream_name))

    return (yield from bpp.stage_wrapper(bpp.run_wrapper(run(), md=about), [detector]))
