"""What the detector says of itself, once a connection is there and again when a series is armed."""

import logging
import re
from typing import Final

import msgspec

from stins import UNSET, Detector

from ...backend import BackendError
from .camserver import Camserver, RefusedError
from .settings import PilatusSettings

__all__ = ["Climate", "Identity", "detector_of", "read_climate", "read_identity"]

log = logging.getLogger(__name__)

_RELEASE = re.compile(r"Code release:\s*(.*)")
_NAME = re.compile(r"Camera name:[ \t]*([^\n]*)")
_FORMAT = re.compile(r"Image format:\s*(\d+)\(w\)\s*x\s*(\d+)\(h\)")
_READOUT = re.compile(r"readout time \[ms\]:\s*([\d.]+)", re.IGNORECASE)
_CUTOFF = re.compile(r"cutoff\s*=\s*(\d+)\s*counts")
_SERIAL = re.compile(r"S/N[ \t]*([^,\s]+)")
_CHANNEL = re.compile(r"Channel (\d): Temperature = ([-\d.]+)C, Rel\. Humidity = ([-\d.]+)")
#: Least time between exposures (user manuals of PILATUS and PILATUS3), where camserver doesn't say.
_READOUT_S: Final = {"PILATUS3": 0.00095, "PILATUS": 0.003}
_PIXEL_M: Final = 172e-6
_COUNTER_BITS: Final = 20


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """`shape` is rows, columns; `cutoff` the counts above which a pixel is saturated."""

    name: str
    release: str
    shape: tuple[int, int]
    readout_s: float
    cutoff: int | None
    rate_corrected: bool


class Climate(msgspec.Struct, frozen=True):
    """Temperatures (degrees Celsius) and relative humidities (per cent), by the number of the sensor."""

    temperatures: dict[str, float]
    humidities: dict[str, float]


def read_identity(camserver: Camserver, step: str, settings: PilatusSettings) -> Identity:
    """Asks for all of it. Raises `BackendError` if it is refused, or if nobody knows how large images are."""
    name = _found(_NAME, _asked(camserver, step, "camsetup")) or "PILATUS"
    tau = _asked(camserver, step, "tau")
    cutoff = _CUTOFF.search(tau)
    return Identity(
        name=name.strip(),
        release=(_found(_RELEASE, _asked(camserver, step, "version")) or "unknown").strip(),
        shape=settings.shape or _shape(camserver, step),
        readout_s=_readout_s(camserver, step, name, settings),
        cutoff=int(cutoff[1]) if cutoff else None,
        rate_corrected=cutoff is not None,
    )


def _shape(camserver: Camserver, step: str) -> tuple[int, int]:
    found = _FORMAT.search(_asked(camserver, step, "telemetry"))
    if found is None:
        raise BackendError(
            f"camserver at {camserver.address}: {step}: it does not say how large images are; set `shape` to their "
            "rows and columns"
        )
    return int(found[2]), int(found[1])


def _readout_s(camserver: Camserver, step: str, name: str, settings: PilatusSettings) -> float:
    if settings.readout_s is not None:
        return settings.readout_s
    told = _found(_READOUT, _asked(camserver, step, "readouttime"))
    return float(told) / 1000 if told else _READOUT_S["PILATUS3" if "PILATUS3" in name.upper() else "PILATUS"]


def _asked(camserver: Camserver, step: str, command: str) -> str:
    """The answer; empty where this camserver does not know the command."""
    try:
        return camserver.command(step, command).text
    except RefusedError as error:
        if not error.unknown:
            raise
        log.info("%s", error)
        return ""


def _found(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[1] if found else None


def read_climate(camserver: Camserver, step: str) -> Climate:
    """Temperatures and humidities now."""
    channels = _CHANNEL.findall(_asked(camserver, step, "thread"))
    return Climate(
        {channel: float(temperature) for channel, temperature, _ in channels},
        {channel: float(humidity) for channel, _, humidity in channels},
    )


def detector_of(identity: Identity, settings: PilatusSettings) -> Detector:
    """The same as the stream says it."""
    return Detector(
        description=identity.name,
        vendor="DECTRIS",
        model=identity.name.split(",", 1)[0],
        serial_number=_found(_SERIAL, identity.name) or UNSET,
        firmware=identity.release,
        sensor_material=settings.sensor_material,
        sensor_thickness=UNSET if settings.sensor_thickness is None else settings.sensor_thickness,
        x_pixel_size=_PIXEL_M,
        y_pixel_size=_PIXEL_M,
        bit_depth_readout=_COUNTER_BITS,
        saturation_value=UNSET if identity.cutoff is None else identity.cutoff,
        underload_value=0,
        sensor_shape=identity.shape,
        detector_readout_time=identity.readout_s,
    )
