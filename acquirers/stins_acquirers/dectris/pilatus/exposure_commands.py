"""The commands that prepare a series, and each of its starts, in the order that camserver needs. No I/O."""

from collections.abc import Iterator

from stins.physics import HC_EV_ANGSTROM

from .settings import PilatusSettings

__all__ = ["exposure_commands", "rotation", "start_commands"]


def exposure_commands(settings: PilatusSettings, period_s: float) -> Iterator[str]:
    """All of them each time: `setthreshold` makes camserver forget some, and other clients may have set others."""
    yield f"imgpath {settings.imgpath}"
    yield f"nexpframe {settings.exposures_per_frame}"
    # The exposure first: a period that is too short for it is refused.
    yield f"exptime {settings.exposure_s:.7f}"
    yield f"expperiod {period_s:.7f}"
    yield f"delay {settings.delay_s:.7f}"
    if settings.gap_fill is not None:
        yield f"gapfill {settings.gap_fill}"
    yield from (f"mxsettings {key} {value}" for key, value in _remarks(settings).items())


def start_commands(settings: PilatusSettings, first: int, images: int) -> Iterator[str]:
    """Those that go before each start: camserver counts angles on from the first image, and forgets the text."""
    yield f"nimages {images}"
    if (turn := rotation(settings)) is not None:
        _, start, increment = turn
        yield f"mxsettings Start_angle {start + first * increment:.5f}"
    if settings.header_string:
        yield f'headerstring "{settings.header_string}"'


def rotation(settings: PilatusSettings) -> tuple[str, float, float] | None:
    """The axis that turns meanwhile, where it stands at frame 0, and how far it turns from frame to frame (degrees)."""
    values = {key.lower(): value for key, value in settings.mx_settings.items()}
    name, start, increment = (values.get(key) for key in ("oscillation_axis", "start_angle", "angle_increment"))
    if not isinstance(name, str) or not isinstance(start, int | float):
        return None
    return name.lower(), float(start), float(increment) if isinstance(increment, int | float) else 0.0


def _remarks(settings: PilatusSettings) -> dict[str, object]:
    """What image headers are to say."""
    remarks: dict[str, object] = {}
    if settings.incident_energy:
        remarks["Wavelength"] = f"{HC_EV_ANGSTROM / settings.incident_energy:.5f}"
    if settings.distance is not None:
        remarks["Detector_distance"] = f"{settings.distance:.5f}"
    if settings.beam_center_x is not None and settings.beam_center_y is not None:
        remarks["Beam_xy"] = f"{settings.beam_center_x:.2f},{settings.beam_center_y:.2f}"
    return remarks | settings.mx_settings
