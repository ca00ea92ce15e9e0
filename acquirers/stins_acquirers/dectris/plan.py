"""What the detector is armed with for a series: which trigger, how many of them, and how many images each gives."""

from typing import Final

import msgspec

from stins.control import ArmRequest

from ..backend import BackendError
from .settings import EigerSettings

__all__ = ["Plan", "plan_of"]

#: A series without end, until it is disarmed, has as many images as there can be: 2^48 in all (SIMPLON 1.8), and of
#: images and triggers what the detector takes; this many where it does not say.
_MOST_IMAGES: Final = 1 << 48
_UNTOLD: Final = 2_000_000_000


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`images` of each of `triggers`, by SIMPLON's `mode`.

    `starts`: commands that one trigger of ours takes; 0 where a cable triggers. `per_trigger`: images of one trigger of
    ours. `expected`: all images, None where nobody knows. `allowed`: triggers of ours, None where there is no end to
    them. `stepwise`: each may take its frames again.
    """

    mode: str
    images: int
    triggers: int
    starts: int
    per_trigger: int
    expected: int | None
    allowed: int | None
    stepwise: bool

    @property
    def by_command(self) -> bool:
        """Whether commands trigger it."""
        return self.starts > 0


def plan_of(request: ArmRequest, settings: EigerSettings, most: int | None) -> Plan:
    """The plan for what was asked; `most` triggers or images are what the detector takes.

    Raises `BackendError` for more than that.
    """
    per_trigger, expected = request.frames_per_trigger, request.frames_expected
    limit = min(_UNTOLD if most is None else most, max(1, _MOST_IMAGES // per_trigger))
    triggers = request.triggers if request.triggers is not None else limit
    mode = settings.cable_mode if request.trigger_mode == "external" else settings.command_mode
    if request.trigger_mode == "internal":
        # One start runs them all.
        per_trigger, triggers = (expected if expected is not None else limit), 1
    total = per_trigger * triggers
    images, pulses = per_trigger, triggers
    if mode in ("inte", "exte"):
        images, pulses = 1, total if expected is not None or request.trigger_mode == "internal" else limit
    elif mode == "extg":
        images, pulses = total if expected is not None else limit, 1
    for name, count in (("frames_per_trigger", images), ("triggers", pulses)):
        if most is not None and count > most:
            raise BackendError(
                f"arm: {name}: got {count} for {mode}, expected at most {most}, which the detector takes"
            )
    starts = 0 if request.trigger_mode == "external" else per_trigger if mode == "inte" else 1
    return Plan(
        mode=mode,
        images=images,
        triggers=pulses,
        starts=starts,
        per_trigger=per_trigger,
        expected=expected,
        allowed=1 if request.trigger_mode == "internal" else request.triggers,
        stepwise=request.trigger_mode == "software",
    )
