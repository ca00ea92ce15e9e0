"""What the plans have in common: one detector or several, and settings that last as long as a plan."""

import logging
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky import Msg
from bluesky.protocols import Flyable, Preparable, Readable, WritesExternalAssets

from stins import StinsError

from ..arguments import seconds_of
from ..device import StinsDetector

__all__ = [
    "Detectors",
    "Messages",
    "flying",
    "listed",
    "of_ours",
    "ours",
    "settings_of",
    "settings_wrapper",
    "those_that_fly",
]

log = logging.getLogger(__name__)

#: Detectors, and what was set.
_Before: TypeAlias = list[tuple[StinsDetector, dict[str, Any]]]
#: One detector, or several.
Detectors: TypeAlias = Readable[Any] | Sequence[Readable[Any]]
#: What a plan is.
Messages: TypeAlias = Generator[Msg, Any, Any]


def listed(detectors: Detectors) -> list[Any]:
    """One detector or several, as a list of several.

    Raises:
        StinsError: there is none, one of them twice, or what is no device; the text names it.
    """
    several = list(detectors) if isinstance(detectors, Sequence) and not isinstance(detectors, str) else [detectors]
    if not several:
        raise StinsError("detectors: got none, expected at least one")
    for detector in several:
        _check_device(detector)
    twice = [name for name, times in Counter(detector.name for detector in several).items() if times > 1]
    if twice:
        raise StinsError(f"detectors: got {', '.join(twice)} twice, expected each of them once")
    return several


def _check_device(detector: Any) -> None:
    if isinstance(detector, str):
        # A queue server hands on the name where it has no device of that name.
        remedy = "at a prompt write it without quotes; a queue server has no device of that name"
        raise StinsError(f"detectors: got the text {detector!r}, expected a detector: {remedy}")
    if not isinstance(detector, Readable):
        raise StinsError(f"detectors: got {detector!r}, expected a detector")


def those_that_fly(detectors: Detectors) -> list[Any]:
    """As `listed`, of detectors that run by themselves, before a run is open.

    Raises:
        StinsError: one of them cannot; the text names it.
    """
    several = listed(detectors)
    for detector in several:
        # An axis that flies has no asset documents.
        if not all(isinstance(detector, kind) for kind in (Preparable, Flyable, WritesExternalAssets)):
            raise StinsError(
                f"detectors: got {detector.name}, which is no detector that flies; expected a StinsDetector, or what "
                "is prepared and flown as it is"
            )
    return several


def of_ours(detectors: Detectors) -> list[StinsDetector]:
    """As `listed`, where no others will do.

    Raises:
        StinsError: one of them is another; the text names it.
    """
    several = listed(detectors)
    for detector in several:
        if not isinstance(detector, StinsDetector):
            raise StinsError(f"detectors: got {detector.name}, expected StinsDetectors only")
    return several


def ours(detectors: Detectors) -> list[StinsDetector]:
    """Those whose settings are known here."""
    return [detector for detector in listed(detectors) if isinstance(detector, StinsDetector)]


def settings_of(detector: StinsDetector) -> Generator[Msg, Any, dict[str, Any]]:
    """What a plan may set, as it is now; without what the detector has not, or has not set."""
    answer = yield from bps.configure(detector, {})
    configuration = answer[0] if answer else detector.read_configuration()  # nobody answers in summarize_plan
    keys = {name: f"{detector.name}_{name}" for name in _NAMES}
    return {name: configuration[key]["value"] for name, key in keys.items() if key in configuration}


def flying(axes: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """What flies beside detectors, each with what it is prepared with, before a run is open.

    Raises:
        StinsError: one of them cannot fly.
    """
    for axis in axes:
        if not (isinstance(axis, Flyable) and isinstance(axis, Preparable)):
            name = getattr(axis, "name", axis)
            raise StinsError(
                f"axis: got {name}, which cannot fly; expected a PulsingAxis, or what can be prepared as it can"
            )
    return axes


def settings_wrapper(
    plan: Messages,
    detectors: Detectors,
    *,
    exposure_s: float = 0.0,
    deadtime_s: float = 0.0,
    frames: int = 0,
    recorded: bool = True,
) -> Messages:
    """The plan, with these settings of its detectors meanwhile; afterwards, however it ends, they are what they were.

    After RE.halt(), which ends a plan without its end, exposure and period stay; frames and recorded do not.

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
    recorded : bool
        Whether there is a file; True leaves what is set.

    Raises
    ------
    StinsError
        A time is none, or a detector has no setting of that name; it is raised in the plan, before anything of that
        detector is set.
    """
    exposure_s, deadtime_s = seconds_of("exposure_s", exposure_s), seconds_of("deadtime_s", deadtime_s)
    if deadtime_s and not exposure_s:
        raise StinsError(f"deadtime_s: got {deadtime_s:g} without an exposure_s, expected both")
    wanted = _Wanted(exposure_s, deadtime_s, frames, recorded)
    if wanted == _Wanted():
        return (yield from plan)
    before: _Before = []

    def run() -> Messages:
        yield from _set(wanted, ours(detectors), before)
        return (yield from plan)

    try:
        return (
            yield from bpp.contingency_wrapper(
                run(),
                except_plan=lambda _: _put_back(before, quietly=True),
                else_plan=lambda: _put_back(before),
            )
        )
    finally:
        # Without messages, so that they are what they were also after RE.halt() and without the acquirer.
        for detector, settings in before:
            for name in settings.keys() & _OWN:
                getattr(detector, name).put(settings[name])


def _set(wanted: "_Wanted", detectors: Sequence[StinsDetector], before: _Before) -> Messages:
    """Sets what is wanted; what was set goes to `before`, of each detector before anything of it is changed."""
    for detector in detectors:
        present = yield from settings_of(detector)
        changes = wanted.changes(present)
        _check_known(detector, changes)
        # Nothing puts recorded back to False, which is for one staging: for this one.
        was = present | {"recorded": True}
        before.append((detector, {name: was[name] for name in changes if name in was}))
        yield from bps.configure(detector, changes)


def _check_known(detector: StinsDetector, changes: Mapping[str, Any]) -> None:
    acquirer = detector.controller.snapshot.acquirer
    if acquirer is None:  # in summarize_plan nobody has asked it
        return
    for name in changes:
        if name not in _OWN and name not in acquirer.settings:
            has = ", ".join(sorted(acquirer.settings)) or "none"
            raise StinsError(f"{detector.name}: {name}: backend {acquirer.backend} has no such setting; it has: {has}")


def _put_back(before: Sequence[tuple[StinsDetector, Mapping[str, Any]]], *, quietly: bool = False) -> Messages:
    """Each detector, also where another one can't be; then raises what was in the way first.

    `quietly`: says it in the log. The plan has failed already, often by the same cause, and that is to be seen.
    """
    failed: Exception | None = None
    for detector, settings in before:
        for part in (settings.keys() & _OWN, settings.keys() - _OWN):
            try:
                if part:
                    yield from bps.configure(detector, {name: settings[name] for name in settings if name in part})
            except Exception as error:  # whatever it is, it is raised
                failed = failed or error
                if quietly:
                    log.warning("%s: %s stays as it is: %s", detector.name, ", ".join(part & settings.keys()), error)
    if failed and not quietly:
        raise failed


#: What the device keeps itself; the others are the acquirer's settings.
_OWN = frozenset({"frames", "recorded"})
_NAMES = ("exposure_s", "period_s", *sorted(_OWN))


@dataclass(frozen=True)
class _Wanted:
    exposure_s: float = 0.0
    deadtime_s: float = 0.0
    frames: int = 0
    recorded: bool = True

    def changes(self, present: Mapping[str, Any]) -> dict[str, Any]:
        """What has to be set where that is set at present."""
        own: dict[str, Any] = {"frames": self.frames} if self.frames else {}
        if not self.recorded:
            own["recorded"] = False
        return own | self._times(present.get("period_s", 0.0))

    def _times(self, period_s: float) -> dict[str, float]:
        """Both or none, so that what is put back is no mixture; a period of 0 is as short as can be, and stays."""
        if not self.exposure_s:
            return {}
        if not (self.deadtime_s or period_s):
            return {"exposure_s": self.exposure_s}
        period_s = self.exposure_s + self.deadtime_s if self.deadtime_s else max(period_s, self.exposure_s)
        return {"exposure_s": self.exposure_s, "period_s": period_s}
