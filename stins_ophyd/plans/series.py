"""Series point by point, and those that others are corrected by."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
from bluesky import Msg
from bluesky.protocols import Movable, Readable

from stins import StinsError

from ..arguments import count_of, seconds_of
from .stubs import fly_run
from .support import Messages, listed, settings_wrapper, those_that_fly

__all__ = ["count_series", "dark_series", "flat_series"]


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
    num, frames = count_of("num", num), count_of("frames", frames)
    delay_s, exposure_s = seconds_of("delay_s", delay_s), seconds_of("exposure_s", exposure_s)
    chosen = listed(detectors)
    about = {"plan_name": "count_series", "frames_per_point": frames} | (md or {})
    plan = bp.count(chosen, num, delay=delay_s, md=about)
    return (yield from settings_wrapper(plan, chosen, frames=frames, exposure_s=exposure_s))


def dark_series(
    detectors: Readable[Any] | Sequence[Readable[Any]],
    frames: int = 10,
    *,
    shutter: Movable[Any] | None = None,
    closed: str | float = "closed",
    opened: str | float | None = None,
    exposure_s: float = 0.0,
    md: dict[str, Any] | None = None,
) -> Generator[Msg, Any, Any]:
    """Takes dark frames at the detectors' own pace, as a run of their own with `purpose` "dark" in its start document.

    However it ends, the shutter is put back; except after RE.halt(), which ends a plan without its end.

    Parameters
    ----------
    detectors : Readable or list of Readable
        One StinsDetector, or several.
    frames : int
        How many frames each takes.
    shutter : Movable
        What is closed before; without one the frames are taken as it is.
    closed : str or float
        What the shutter is set to; a motor as shutter has no "closed", and is refused with that word.
    opened : str or float
        What it is set to afterwards; None: to what it read before. A shutter that is set by a word and reads as a
        number, say, is not opened by that: give the word.
    exposure_s : float
        Exposure of a frame in seconds, for this series; 0 leaves what is set.
    md : dict
        Meta data of the run.
    """
    frames, exposure_s = count_of("frames", frames), seconds_of("exposure_s", exposure_s)
    about = {"plan_name": "dark_series", "purpose": "dark"} | (md or {})
    plan = _taken(those_that_fly(detectors), frames, exposure_s, about)
    return (yield from _moved(plan, _Move("shutter", shutter, "closed", closed, opened)))


def flat_series(
    detectors: Readable[Any] | Sequence[Readable[Any]],
    frames: int = 10,
    *,
    sample: Movable[Any] | None = None,
    out: str | float = 0.0,
    exposure_s: float = 0.0,
    md: dict[str, Any] | None = None,
) -> Generator[Msg, Any, Any]:
    """Takes flat frames at the detectors' own pace, as a run of their own with `purpose` "flat" in its start document.

    However it ends, the sample is where it was before; except after RE.halt(), which ends a plan without its end.

    Parameters
    ----------
    detectors : Readable or list of Readable
        One StinsDetector, or several.
    frames : int
        How many frames each takes.
    sample : Movable
        What is moved out of the beam before; without one the frames are taken as it is.
    out : str or float
        Where it is out of the beam.
    exposure_s : float
        Exposure of a frame in seconds, for this series; 0 leaves what is set.
    md : dict
        Meta data of the run.
    """
    frames, exposure_s = count_of("frames", frames), seconds_of("exposure_s", exposure_s)
    about = {"plan_name": "flat_series", "purpose": "flat"} | (md or {})
    plan = _taken(those_that_fly(detectors), frames, exposure_s, about)
    return (yield from _moved(plan, _Move("sample", sample, "out", out)))


def _taken(detectors: list[Any], frames: int, exposure_s: float, about: dict[str, Any]) -> Messages:
    plan = fly_run(detectors, frames, md=about)
    return (yield from settings_wrapper(plan, detectors, exposure_s=exposure_s))


@dataclass(frozen=True)
class _Move:
    """What is moved for a series: the parameter that it was given by, and the one that says where `there` is."""

    what: str
    axis: Any
    where: str
    there: object
    back: object = None

    def check(self) -> None:
        if not isinstance(self.axis, Movable):
            got = getattr(self.axis, "name", repr(self.axis))
            raise StinsError(f"{self.what}: got {got}, which cannot be set; expected a device that can")

    def go(self) -> Messages:
        try:
            yield from bps.mv(self.axis, self.there)
        except (TypeError, ValueError) as error:  # of `set`: a motor has no place for a word
            got = f"{self.axis.name} cannot be set to {self.there!r} ({error})"
            raise StinsError(f"{self.what}: {got}; give {self.where}=, the value that {self._means}") from error

    @property
    def _means(self) -> str:
        return "closes it" if self.where == "closed" else "is out of the beam"


def _moved(plan: Messages, move: _Move) -> Messages:
    """The plan with the axis there; afterwards it goes back, or to where it was."""
    if move.axis is None:
        return (yield from plan)
    move.check()

    def run() -> Messages:
        yield from move.go()
        return (yield from plan)

    if move.back is None:
        return (yield from bpp.reset_positions_wrapper(run(), [move.axis]))
    return (yield from bpp.finalize_wrapper(run(), lambda: bps.mv(move.axis, move.back)))
