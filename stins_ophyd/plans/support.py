"""What the plans have in common: one detector or several, and settings that last as long as a plan."""

from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeAlias

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky import Msg
from bluesky.protocols import Readable

from ..device import StinsDetector

__all__ = ["Detectors", "Messages", "listed", "settings_wrapper"]

#: One detector, or several.
Detectors: TypeAlias = Readable[Any] | Sequence[Readable[Any]]
#: What a plan is.
Messages: TypeAlias = Generator[Msg, Any, Any]


def listed(detectors: Detectors) -> list[Any]:
    """One detector or several, as a list of several.

    Raises:
        ValueError: there is none.
    """
    several = list(detectors) if isinstance(detectors, Sequence) else [detectors]
    if not several:
        raise ValueError("detectors: got none, expected at least one")
    return several


def settings_wrapper(
    plan: Messages, detectors: Detectors, *, exposure_s: float = 0.0, deadtime_s: float = 0.0, frames: int = 0
) -> Messages:
    """The plan, with these settings of its detectors meanwhile; afterwards, however it ends, they are what they were.

    0 leaves what is set; a period that is shorter than the exposure becomes as long. Only detectors of ours are set.

    Parameters
    ----------
    plan : generator
        The plan. It stages the detectors itself: what is armed can't be set.
    detectors : Readable or list of Readable
        Those that it takes data with.
    exposure_s : float
        Exposure of a frame in seconds.
    deadtime_s : float
        Time between two exposures in seconds; the period becomes exposure and dead time.
    frames : int
        Frames of a point.
    """
    if deadtime_s and not exposure_s:
        raise ValueError(f"deadtime_s: got {deadtime_s:g} without an exposure_s, expected both")
    ours = [detector for detector in listed(detectors) if isinstance(detector, StinsDetector)]
    before: list[tuple[StinsDetector, dict[str, Any]]] = []

    def change(wanted: Callable[[dict[str, Any]], dict[str, Any]]) -> Messages:
        for detector in ours:
            old, _ = yield from bps.configure(detector, {})
            present = {name: old[f"{detector.name}_{name}"]["value"] for name in ("exposure_s", "period_s", "frames")}
            changes = wanted(present)
            before.append((detector, {name: present[name] for name in changes}))
            yield from bps.configure(detector, changes)

    def put_back() -> Messages:
        for detector, settings in before:
            yield from bps.configure(detector, settings)

    def run() -> Messages:
        yield from change(lambda present: _changes(present, exposure_s, deadtime_s, frames))
        return (yield from plan)

    if not (exposure_s or frames):
        return (yield from plan)
    return (yield from bpp.finalize_wrapper(run(), put_back))


def _changes(present: dict[str, Any], exposure_s: float, deadtime_s: float, frames: int) -> dict[str, Any]:
    changes: dict[str, Any] = {"frames": frames} if frames else {}
    if not exposure_s:
        return changes
    changes["exposure_s"] = exposure_s
    # Both or none, so that what is put back is no mixture; a period of 0 is one of no length.
    if deadtime_s:
        changes["period_s"] = exposure_s + deadtime_s
    elif present["period_s"]:
        changes["period_s"] = max(present["period_s"], exposure_s)
    return changes
