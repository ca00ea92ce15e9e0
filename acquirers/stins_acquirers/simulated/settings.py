"""What can be set on the simulated detector."""

from math import prod
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from stins.daemon import Model

__all__ = ["Fault", "SimulatedSettings"]

FaultKind = Literal["drop", "duplicate", "reorder", "delay", "freeze", "die"]
Side = Annotated[int, Field(ge=1, le=65_536)]
#: Memory for the frames that are computed once; 8 frames of 18 million uint32 pixels take 0.6 GB.
_POOL_BYTES = 1 << 30


class Fault(Model):
    """Something that goes wrong with one message, once in a series."""

    kind: FaultKind
    """`drop`: never sent; `duplicate`: sent twice; `reorder`: sent after the next one; `delay`: held back by
    `seconds` while others overtake; `freeze`: the process stops answering (SIGSTOP); `die`: it kills itself."""
    frame: int = Field(ge=0)
    """Number of the frame whose message is hit."""
    seconds: float = Field(default=1.0, gt=0, le=5, json_schema_extra={"unit": "s"})
    """For how long `delay` holds the message back."""


class SimulatedSettings(Model):
    """Settings of the simulated detector."""

    shape: tuple[Side, Side] = Field(default=(512, 512), json_schema_extra={"unit": "pixel"})
    """Rows and columns of one module."""
    modules: int = Field(default=1, ge=1, le=64)
    """How many modules a frame has; more than one are stacked, [modules, rows, columns], each a part of its own."""
    dtype: Literal["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64"] = (
        "uint16"
    )
    """Type of a pixel."""
    compression: Literal["none", "bslz4"] = "none"
    """`bslz4`: bitshuffle-LZ4, laid out as HDF5 filter 32008 stores it."""
    exposure_s: float = Field(default=0.001, gt=0, json_schema_extra={"unit": "s"})
    """Count time of one frame."""
    period_s: float = Field(default=0.0, ge=0, json_schema_extra={"unit": "s"})
    """Time from frame to frame; 0: as fast as anybody takes them, without waiting for the exposure. Where a longer
    exposure is set alone, it becomes as long."""
    cable_mode: Literal["edge", "level"] = "edge"
    """What a pulse of an external trigger does: it starts exposures of `exposure_s`, or is as long as the one."""
    incident_energy: float = Field(default=12_400.0, gt=0, json_schema_extra={"unit": "eV"})
    """Photon energy of the beam."""
    distance: float = Field(default=0.05, gt=0, json_schema_extra={"unit": "m"})
    """From the sample to the detector."""
    pixel_size: float = Field(default=75e-6, gt=0, json_schema_extra={"unit": "m"})
    """Edge of a pixel."""
    beam_center_x: float | None = Field(default=None, json_schema_extra={"unit": "pixel"})
    """Where the beam hits, along the columns; none: the middle."""
    beam_center_y: float | None = Field(default=None, json_schema_extra={"unit": "pixel"})
    """Where the beam hits, along the rows; none: the middle."""
    photons: float = Field(default=10.0, gt=0, le=1e6, json_schema_extra={"unit": "count"})
    """Mean counts of a pixel."""
    pool: int = Field(default=8, ge=1, le=1024, validate_default=True)
    """How many different frames are computed, once, and then sent in turn; at most 1 GiB of them."""
    seed: int = Field(default=0, ge=0)
    """Of the noise: the same seed gives the same frames."""
    rocking: float = Field(default=0.0, ge=0, json_schema_extra={"unit": "frame"})
    """Over how many frames a spot comes and goes (full width at half maximum), once in `pool` frames, as a crystal's do
    while it turns; 0: each frame has it at random."""
    numbers: bool = False
    """Whether each frame carries small numbers in `detector_specific` (its total counts, a temperature)."""
    series_arrays: bool = False
    """Whether the series-start carries a pixel mask and a flat field."""
    faults: tuple[Fault, ...] = ()
    """What goes wrong, on request."""

    @field_validator("period_s")
    @classmethod
    def _longer_than_the_exposure(cls, period_s: float, info: ValidationInfo) -> float:
        exposure_s = info.data.get("exposure_s", 0.0)
        if 0 < period_s < exposure_s:
            raise ValueError(f"expected 0 (as fast as it goes) or at least exposure_s, which is {exposure_s:g} s")
        return period_s

    @field_validator("pool")
    @classmethod
    def _fits_into_memory(cls, pool: int, info: ValidationInfo) -> int:
        """`pool` stands behind what it is checked with; where that was refused, there is nothing to check."""
        if not {"shape", "modules", "dtype"} <= info.data.keys():
            return pool
        frame_bytes = info.data["modules"] * prod(info.data["shape"]) * np.dtype(info.data["dtype"]).itemsize
        if pool * frame_bytes > _POOL_BYTES:
            raise ValueError(f"{pool} frames of {frame_bytes} bytes, expected at most {_POOL_BYTES} bytes in all")
        return pool
