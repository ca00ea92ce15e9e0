"""What a series-start says of the detector, its settings and its surroundings, all of it optional (docs/stins.md)."""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

__all__ = [
    "PLAIN_NAME",
    "Acquisition",
    "Axis",
    "Beamline",
    "Channel",
    "Detector",
    "Natural",
    "PlainName",
    "Value",
    "Vector",
]

#: What a channel or an axis may be called: it becomes a part of a name in a file.
PLAIN_NAME = r"^[A-Za-z0-9_]{1,63}$"

Natural: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
# It is checked in checks.py, with the reason why a `$` is not enough.
PlainName: TypeAlias = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": PLAIN_NAME})]
BeamProfile: TypeAlias = Literal["Gaussian", "Airy", "top-hat", "rectangular"]
#: A direction in the NeXus coordinate system: z along the beam, y up, x to the left as the beam sees it.
Vector: TypeAlias = tuple[float, float, float]


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A value that knows all its keys."""


class Detector(Value, frozen=True, kw_only=True):
    """What stays the same for a detector: names and units of NXdetector (lengths in m, times in s)."""

    description: str | UnsetType = UNSET
    vendor: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    serial_number: str | UnsetType = UNSET
    firmware: str | UnsetType = UNSET
    sensor_material: str | UnsetType = UNSET
    sensor_thickness: float | UnsetType = UNSET
    x_pixel_size: float | UnsetType = UNSET
    y_pixel_size: float | UnsetType = UNSET
    bit_depth_readout: int | UnsetType = UNSET
    saturation_value: float | int | UnsetType = UNSET
    underload_value: float | int | UnsetType = UNSET
    sensor_shape: tuple[Natural, ...] | UnsetType = UNSET
    detector_readout_time: float | UnsetType = UNSET
    dead_time: float | UnsetType = UNSET


class Channel(Value, frozen=True, kw_only=True):
    """What a channel of a detector has of its own: names and units of NXdetector_channel (energies in eV).

    `threshold_energy`: one value, or the lower and the upper one where the channel counts what lies between them.
    """

    threshold_energy: tuple[float, ...] | UnsetType = UNSET
    saturation_value: float | int | UnsetType = UNSET
    underload_value: float | int | UnsetType = UNSET
    flatfield_applied: bool | UnsetType = UNSET
    pixel_mask_applied: bool | UnsetType = UNSET


class Axis(Value, frozen=True, kw_only=True):
    """An axis of rotation: its angle at frame n is `start` + n x `increment` (degrees).

    `vector` is the direction it turns about, right-handed.
    """

    name: PlainName
    start: float
    increment: float = 0.0
    vector: Vector | UnsetType = UNSET


class Acquisition(Value, frozen=True, kw_only=True):
    """What was set for a series: times in s, energies in eV, beam centre in pixels, distance in m.

    `goniometer` carries the sample, `detector_axes` the detector; both begin with the axis next to what they carry.
    `frame_units` names the unit of numbers in the `detector_specific` of data messages.
    """

    count_time: float | UnsetType = UNSET
    frame_time: float | UnsetType = UNSET
    trigger_mode: str | UnsetType = UNSET
    frames_per_trigger: Natural | UnsetType = UNSET
    triggers_expected: Natural | UnsetType = UNSET
    incident_energy: float | UnsetType = UNSET
    threshold_energy: tuple[float, ...] | UnsetType = UNSET
    beam_center_x: float | UnsetType = UNSET
    beam_center_y: float | UnsetType = UNSET
    distance: float | UnsetType = UNSET
    fast_direction: Vector | UnsetType = UNSET
    slow_direction: Vector | UnsetType = UNSET
    detector_axes: tuple[Axis, ...] | UnsetType = UNSET
    goniometer: tuple[Axis, ...] | UnsetType = UNSET
    gain: float | str | UnsetType = UNSET
    roi: tuple[Natural, ...] | str | UnsetType = UNSET
    bit_depth_image: int | UnsetType = UNSET
    flatfield_applied: bool | UnsetType = UNSET
    pixel_mask_applied: bool | UnsetType = UNSET
    countrate_correction_applied: bool | UnsetType = UNSET
    virtual_pixel_interpolation_applied: bool | UnsetType = UNSET
    channels: dict[PlainName, Channel] | UnsetType = UNSET
    frame_units: dict[str, str] | UnsetType = UNSET


class Beamline(Value, frozen=True, kw_only=True):
    """Where and of what: names, and what is known of the beam (flux in photons/s, size in m).

    `time_zone` is a name of the IANA data base; `polarization_stokes` the vector (S0, S1, S2, S3).
    """

    name: str | UnsetType = UNSET
    short_name: str | UnsetType = UNSET
    source_name: str | UnsetType = UNSET
    source_short_name: str | UnsetType = UNSET
    sample_name: str | UnsetType = UNSET
    time_zone: str | UnsetType = UNSET
    total_flux: float | UnsetType = UNSET
    beam_size: tuple[float, float] | UnsetType = UNSET
    beam_profile: BeamProfile | UnsetType = UNSET
    polarization_stokes: tuple[float, float, float, float] | UnsetType = UNSET
