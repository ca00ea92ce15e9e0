"""How a series is taken: with which of camserver's commands, how many times, how many images each. No I/O."""

from typing import Final, Literal, get_args

import msgspec

from stins.control import ArmRequest

from ...backend import BackendError, refuse_trigger_mode
from .settings import PilatusSettings

__all__ = ["STARTS", "Plan", "Start", "plan_of"]

Start = Literal["exposure", "exttrigger", "extmtrigger", "extenable"]
#: The commands that start exposures.
STARTS: Final[tuple[Start, ...]] = get_args(Start)
_MODES = ("internal", "software", "external")
#: More than six digits number no image.
_MOST_IMAGES = 999_999


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`images` are those of one start, None: all that are left; `expected` those of the series, None: nobody knows.

    Times in s: an image is there `frame_s` after the one before it, the first after `first_s`.
    """

    request: ArmRequest
    start: Start
    images: int | None
    expected: int | None
    frame_s: float
    first_s: float

    @property
    def external(self) -> bool:
        """Whether a cable starts it."""
        return self.start != "exposure"


def plan_of(request: ArmRequest, settings: PilatusSettings, period_s: float) -> Plan:
    """Raises `BackendError` for a series that camserver can't take."""
    refuse_trigger_mode(request.trigger_mode, _MODES)
    if request.trigger_mode != "software" and request.frames_expected is None:
        raise BackendError(
            f"arm: triggers: got null, expected a number: camserver is told before a series how many images it has "
            f"(trigger_mode {request.trigger_mode!r})"
        )
    count = request.frames_per_trigger if request.trigger_mode == "software" else request.frames_expected or 0
    if count > _MOST_IMAGES:
        raise BackendError(f"arm: got {count} images, expected at most {_MOST_IMAGES}")
    return Plan(
        request=request,
        start=_start(request, settings),
        images=request.frames_per_trigger if request.trigger_mode == "software" else None,
        expected=request.frames_expected,
        frame_s=settings.exposures_per_frame * period_s,
        first_s=(settings.exposures_per_frame - 1) * period_s + settings.exposure_s,
    )


def _start(request: ArmRequest, settings: PilatusSettings) -> Start:
    if request.trigger_mode != "external":
        return "exposure"
    if settings.cable_mode == "trigger" and request.triggers == 1:
        return "exttrigger"
    if request.frames_per_trigger == 1:
        return "extenable" if settings.cable_mode == "gate" else "extmtrigger"
    raise BackendError(
        f"arm: frames_per_trigger: got {request.frames_per_trigger} for {request.triggers} external triggers with "
        f"cable_mode {settings.cable_mode!r}, expected 1: a pulse of several takes one image"
    )
