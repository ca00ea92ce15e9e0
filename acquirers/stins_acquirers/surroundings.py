"""What no detector knows of itself: the beamline's names, its beam, and where the detector stands."""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from pydantic import Field

from stins import Acquisition, Axis, Beamline, SeriesHeader
from stins.daemon import Model
from stins.messages import Vector

__all__ = ["BeamlineConfig", "GeometryConfig", "Surroundings"]

S = TypeVar("S", bound=msgspec.Struct)


class BeamlineConfig(Model):
    """Names of the beamline, and what is known of its beam; all of it stands in the file."""

    name: str | None = None
    """Name of the beamline."""
    short_name: str | None = None
    """Its short name."""
    source_name: str | None = None
    """Name of the storage ring, or of another source."""
    source_short_name: str | None = None
    """Its short name."""
    sample_name: str | None = None
    """Name of the sample, where a series does not bring its own (`sample_name` in its meta data)."""
    time_zone: str | None = None
    """Where the beamline is: a name such as `Europe/Stockholm`."""
    total_flux: float | None = Field(default=None, ge=0, json_schema_extra={"unit": "photons/s"})
    """Flux on the sample."""
    beam_size: tuple[float, float] | None = Field(default=None, json_schema_extra={"unit": "m"})
    """Size of the beam at the sample, across and upright."""
    beam_profile: Literal["Gaussian", "Airy", "top-hat", "rectangular"] | None = None
    """Its profile."""
    polarization_stokes: tuple[float, float, float, float] | None = None
    """Its polarisation as Stokes parameters."""


class GeometryConfig(Model):
    """Where the detector stands, and how axes turn, where the detector does not say it (docs/stins.md, Geometry)."""

    distance: float | None = Field(default=None, gt=0, json_schema_extra={"unit": "m"})
    """From the sample to where the direct beam hits the detector."""
    beam_center_x: float | None = Field(default=None, json_schema_extra={"unit": "pixel"})
    """Where that is, along a row."""
    beam_center_y: float | None = Field(default=None, json_schema_extra={"unit": "pixel"})
    """And along a column."""
    fast_direction: tuple[float, float, float] | None = None
    """Where rows run to: (-1, 0, 0), which is the default, to the right, as the sample sees it."""
    slow_direction: tuple[float, float, float] | None = None
    """Where columns run to: (0, -1, 0), which is the default, downwards."""
    axis_vectors: dict[str, tuple[float, float, float]] = {}
    """What each axis turns about, by its name: `{omega: [-1, 0, 0]}`."""


class Surroundings(msgspec.Struct, frozen=True):
    """The same as the stream says it. A backend that knows better keeps its word."""

    beamline: Beamline = Beamline()
    geometry: Acquisition = Acquisition()
    vectors: Mapping[str, Vector] = {}

    @classmethod
    def configured(cls, beamline: BeamlineConfig, geometry: GeometryConfig) -> "Surroundings":
        """Of what stands in the acquirer's configuration."""
        place = geometry.model_dump(exclude_none=True)
        vectors = place.pop("axis_vectors")
        names = beamline.model_dump(exclude_none=True)
        return cls(msgspec.convert(names, Beamline), msgspec.convert(place, Acquisition), vectors)

    def complete(self, header: SeriesHeader, metadata: Mapping[str, Any]) -> SeriesHeader:
        """The header with what it leaves open; a sample's name may come with the series' own meta data."""
        beamline = _filled(header.beamline or Beamline(), self.beamline)
        if isinstance(sample := metadata.get("sample_name"), str):
            beamline = msgspec.structs.replace(beamline, sample_name=sample)
        acquisition = _filled(header.acquisition or Acquisition(), self.geometry)
        acquisition = msgspec.structs.replace(
            acquisition,
            goniometer=self._directed(acquisition.goniometer),
            detector_axes=self._directed(acquisition.detector_axes),
        )
        return msgspec.structs.replace(
            header,
            beamline=UNSET if beamline == Beamline() else beamline,
            acquisition=header.acquisition if acquisition == Acquisition() else acquisition,
        )

    def _directed(self, axes: tuple[Axis, ...] | UnsetType) -> tuple[Axis, ...] | UnsetType:
        if isinstance(axes, UnsetType):
            return axes
        known = [axis.vector or self.vectors.get(axis.name, UNSET) for axis in axes]
        return tuple(msgspec.structs.replace(axis, vector=vector) for axis, vector in zip(axes, known, strict=True))


def _filled(value: S, other: S) -> S:
    """The value, with the other's fields where it has none."""
    open_fields = [field.name for field in msgspec.structs.fields(value) if getattr(value, field.name) is UNSET]
    return msgspec.structs.replace(value, **{name: getattr(other, name) for name in open_fields})
