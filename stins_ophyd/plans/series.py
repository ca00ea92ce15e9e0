"""Series point by point."""

from collections.abc import Generator, Sequence
from typing import Any

import bluesky.plans as bp
from bluesky import Msg
from bluesky.protocols import Readable

from .support import listed, settings_wrapper

__all__ = ["count_series"]


def count_series(
    detectors: Readable[Any] | Sequence[Readable[Any]],
    num: int = 1,
    *,
    frames: int = 1,
    exposure_s: float = 0.0,
    delay_s: float = 0.0,
    md: dict[str, Any] | None = None,
) -> Generator[Msg, Any, Any]:
    """Takes points one after the other, each of several frames, as one run.

    It is bluesky's `count` with settings for this run alone. A pause takes the point that it interrupted again.

    Parameters
    ----------
    detectors : Readable or list of Readable
        StinsDetectors; others beside them take each point as they are set.
    num : int
        How many points.
    frames : int
        How many frames each StinsDetector takes at a point; they make one event.
    exposure_s : float
        Exposure of a frame in seconds; 0 leaves what is set.
    delay_s : float
        Time between two points in seconds.
    md : dict
        Meta data of the run.
    """
    if num < 1 or frames < 1:
        raise ValueError(f"num, frames: got {num}, {frames}, expected at least 1 of each")
    chosen = listed(detectors)
    about = {"plan_name": "count_series", "frames_per_point": frames} | (md or {})
    plan = bp.count(chosen, num, delay=delay_s, md=about)
    return (yield from settings_wrapper(plan, chosen, frames=frames, exposure_s=exposure_s))
