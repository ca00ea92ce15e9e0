"""Frames to look at."""

from collections.abc import Generator, Sequence
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky import Msg
from bluesky.protocols import Readable
from bluesky.utils import short_uid

from ..arguments import count_of
from .outcome import told_at_the_end
from .support import Messages, of_ours, settings_wrapper

__all__ = ["take_live"]


def take_live(
    detectors: Readable[Any] | Sequence[Readable[Any]],
    frames: int = 100,
    *,
    exposure_s: float = 0.0,
) -> Generator[Msg, Any, Any]:
    """Takes frames to look at: no run, no documents, no file.

    They go to whoever listens to the recorder's `live` address. At the end a line for each detector is printed: how
    many frames there were, and the counts of the last one.

    Parameters
    ----------
    detectors : Readable or list of Readable
        One StinsDetector, or several.
    frames : int
        How many frames each takes.
    exposure_s : float
        Exposure of a frame in seconds, meanwhile; 0 leaves what is set.
    """
    frames = count_of("frames", frames)
    chosen, group = of_ours(detectors), short_uid("live")

    def run() -> Messages:
        for detector in chosen:
            yield from bps.trigger(detector, group=group)
        yield from bps.wait(group=group)

    plan = told_at_the_end(bpp.stage_wrapper(run(), chosen), chosen, counts=True)
    return (yield from settings_wrapper(plan, chosen, exposure_s=exposure_s, frames=frames, recorded=False))
