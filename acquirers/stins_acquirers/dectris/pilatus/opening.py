"""What a series-start says of the detector and of what was set."""

from typing import Any

from msgspec import UNSET, UnsetType

from stins import Acquisition, Axis, SeriesHeader

from ...backend import Opening
from .exposure_commands import rotation
from .frames import FRAME_UNITS
from .identity import Climate, Identity, detector_of
from .image import image_part
from .plan import Plan
from .settings import PilatusSettings

__all__ = ["opening_of"]


def opening_of(plan: Plan, settings: PilatusSettings, identity: Identity, climate: Climate) -> Opening:
    """`settings` are those that camserver has."""
    header = SeriesHeader(
        detector=detector_of(identity, settings),
        acquisition=_acquisition(plan, settings, identity),
        data=(image_part(identity.shape, "none"),),
        detector_specific={"camserver": _camserver(plan, settings, climate)},
    )
    return Opening(header=header, frames_expected=plan.expected)


def _acquisition(plan: Plan, settings: PilatusSettings, identity: Identity) -> Acquisition:
    threshold = settings.threshold_energy
    return Acquisition(
        count_time=settings.exposures_per_frame * settings.exposure_s,
        frame_time=plan.frame_s,
        trigger_mode=plan.request.trigger_mode,
        frames_per_trigger=plan.request.frames_per_trigger,
        triggers_expected=_known(plan.request.triggers),
        incident_energy=_known(settings.incident_energy),
        threshold_energy=UNSET if threshold is None else (threshold,),
        beam_center_x=_known(settings.beam_center_x),
        beam_center_y=_known(settings.beam_center_y),
        distance=_known(settings.distance),
        goniometer=_goniometer(settings),
        gain=_known(settings.gain),
        bit_depth_image=32,
        countrate_correction_applied=identity.rate_corrected,
        frame_units=FRAME_UNITS,
    )


def _known(value: Any) -> Any:
    return UNSET if value is None else value


def _goniometer(settings: PilatusSettings) -> tuple[Axis, ...] | UnsetType:
    if (turn := rotation(settings)) is None:
        return UNSET
    name, start, increment = turn
    return (Axis(name=name, start=start, increment=increment),)


def _camserver(plan: Plan, settings: PilatusSettings, climate: Climate) -> dict[str, Any]:
    return {
        "command": plan.start,
        "exposures_per_frame": settings.exposures_per_frame,
        "gap_fill": settings.gap_fill,
        "temperatures_celsius": climate.temperatures,
        "humidities_percent": climate.humidities,
        "mx_settings": settings.mx_settings,
    }
