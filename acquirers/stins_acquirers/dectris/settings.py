"""What can be set on a detector that speaks SIMPLON: EIGER, EIGER2, PILATUS4."""

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from stins.daemon import Model

__all__ = ["EigerSettings"]

Unit = dict[str, Any]
_EV: Unit = {"unit": "eV"}
_S: Unit = {"unit": "s"}
_PIXEL: Unit = {"unit": "pixel"}


class EigerSettings(Model):
    """Settings of the detector. What is null is left as it is on the detector, and read from there."""

    # -- where it is ----------------------------------------------------------------------------

    host: str = Field(pattern=r"^[A-Za-z0-9_.:-]+$")
    """Name or address of the DCU."""
    http_port: int = Field(default=80, ge=1, le=65_535)
    """TCP port of SIMPLON's HTTP interface."""
    stream_version: Literal["v2", "v1"] = "v2"
    """Which stream is taken; `v1` ("legacy") for a DCU whose release is older than 2022.1. It has one threshold."""
    stream_port: int | None = Field(default=None, ge=1, le=65_535)
    """TCP port of the stream; null: 31001 for v2, 9999 for v1."""

    # -- the exposure ---------------------------------------------------------------------------

    exposure_s: float | None = Field(default=None, gt=0, json_schema_extra=_S)
    """Count time of one frame."""
    period_s: float = Field(default=0.0, ge=0, json_schema_extra=_S)
    """Time from frame to frame; 0: the shortest that the detector has for the exposure."""
    trigger_start_delay_s: float | None = Field(default=None, ge=0, json_schema_extra=_S)
    """From the trigger to the first exposure."""
    command_mode: Literal["ints", "inte"] = "ints"
    """What a trigger by command starts: `ints` frames of `exposure_s`, `inte` each frame by a command of its own."""
    cable_mode: Literal["exts", "exte", "extg"] = "exts"
    """What a pulse starts: `exts` frames of `exposure_s`, `exte` one frame as long as the pulse, `extg` adds
    `exposures_per_image` pulses to a frame."""
    exposures_per_image: int | None = Field(default=None, ge=1)
    """How many pulses a frame of `extg` has."""
    extg_mode: str | None = None
    """How `extg` uses the detector's two counters, by SIMPLON's name."""

    # -- energies and channels ------------------------------------------------------------------

    incident_energy: float | None = Field(default=None, gt=0, json_schema_extra=_EV)
    """Photon energy of the beam. Setting it sets the thresholds that are null: the detector does."""
    threshold_1_energy: float | None = Field(default=None, gt=0, json_schema_extra=_EV)
    """Energy above which threshold 1 counts."""
    threshold_1_enabled: bool | None = None
    """Whether frames have the channel `threshold_1`."""
    threshold_2_energy: float | None = Field(default=None, gt=0, json_schema_extra=_EV)
    """Energy above which threshold 2 counts."""
    threshold_2_enabled: bool | None = None
    """Whether frames have the channel `threshold_2`."""
    threshold_3_energy: float | None = Field(default=None, gt=0, json_schema_extra=_EV)
    """Energy above which threshold 3 counts."""
    threshold_3_enabled: bool | None = None
    """Whether frames have the channel `threshold_3`."""
    threshold_4_energy: float | None = Field(default=None, gt=0, json_schema_extra=_EV)
    """Energy above which threshold 4 counts."""
    threshold_4_enabled: bool | None = None
    """Whether frames have the channel `threshold_4`."""
    difference_enabled: bool | None = None
    """Whether frames have the channel `difference`: what was counted between two thresholds."""
    difference_lower: int | None = Field(default=None, ge=1, le=4)
    """Number of the lower of these."""
    difference_upper: int | None = Field(default=None, ge=1, le=4)
    """Number of the upper of these."""

    # -- pixels ---------------------------------------------------------------------------------

    compression: Literal["bslz4", "lz4", "none"] | None = "bslz4"
    """How the detector compresses; frames are stored as they come."""
    counting_mode: Literal["normal", "retrigger"] | None = None
    """Whether a pulse that is longer than the dead time is counted again."""
    auto_summation: bool | None = None
    """Whether long exposures are summed from several readouts."""
    countrate_correction: bool | None = None
    """Whether counts that were lost at high rates are made up for."""
    flatfield_correction: bool | None = None
    """Whether counts are multiplied by the flat field."""
    pixel_mask: bool | None = None
    """Whether bad pixels get the value that says so."""
    mask_to_zero: bool | None = None
    """Whether they get 0 instead."""
    virtual_pixel_correction: bool | None = None
    """Whether the counts of the large pixels between chips are shared out."""
    roi_mode: str | None = None
    """Region of interest, by SIMPLON's name; `disabled`: the whole detector."""
    roi_y_size: int | None = Field(default=None, ge=1, json_schema_extra=_PIXEL)
    """Rows of the region `lines`."""
    roi_bit_depth: int | None = Field(default=None, ge=1, json_schema_extra={"unit": "bit"})
    """Bits of a pixel in the region `lines`."""

    # -- geometry -------------------------------------------------------------------------------

    beam_center_x: float | None = Field(default=None, json_schema_extra=_PIXEL)
    """Where the beam hits, along the columns."""
    beam_center_y: float | None = Field(default=None, json_schema_extra=_PIXEL)
    """Where the beam hits, along the rows."""
    distance: float | None = Field(default=None, gt=0, json_schema_extra={"unit": "m"})
    """From the sample to the detector."""
    more: dict[str, bool | int | float | str] = {}
    """Any other keys of `detector/config`, by SIMPLON's names and in its units: `{omega_increment: 0.1}`."""

    # -- the DCU --------------------------------------------------------------------------------

    header_detail: Literal["all", "basic", "none"] = "all"
    """`all`: pixel mask, flat field and count-rate table come with each series."""
    initialize: bool = True
    """Whether a detector that was switched on or restarted is initialized; that takes up to two minutes."""
    take_over: bool = False
    """Whether a series that somebody else has armed is aborted; else arming is refused as long as there is one."""
    require_high_voltage: bool = True
    """Whether a sensor whose high voltage is not ready can't be used."""
    vendor_files: bool | None = False
    """Whether the DCU also writes files of its own."""
    answer_timeout_s: float = Field(default=5.0, gt=0, json_schema_extra=_S)
    """How long the DCU may take to answer, and a series to begin."""
    arm_timeout_s: float = Field(default=120.0, gt=0, json_schema_extra=_S)
    """How long it may take to arm."""
    initialize_timeout_s: float = Field(default=240.0, gt=0, json_schema_extra=_S)
    """How long it may take to initialize."""
    trigger_margin_s: float = Field(default=10.0, gt=0, json_schema_extra=_S)
    """How much longer than its frames a trigger may take."""
    end_timeout_s: float = Field(default=2.0, gt=0, json_schema_extra=_S)
    """How long the stream may be silent, once the detector says that it is done, before its last messages are lost."""
    lost_timeout_s: float = Field(default=5.0, gt=0, json_schema_extra=_S)
    """How long DCU and stream may be silent in a series before the DCU is gone."""
    queue_bytes: int = Field(default=512 << 20, gt=0, json_schema_extra={"unit": "byte"})
    """Memory for messages that have come and are not passed on yet."""

    @field_validator("period_s")
    @classmethod
    def _longer_than_the_exposure(cls, period_s: float, info: ValidationInfo) -> float:
        exposure_s = info.data.get("exposure_s")
        if exposure_s is not None and 0 < period_s < exposure_s:
            raise ValueError(f"expected 0 (the shortest) or at least exposure_s, which is {exposure_s:g} s")
        return period_s

    @field_validator("threshold_2_enabled", "threshold_3_enabled", "threshold_4_enabled", "difference_enabled")
    @classmethod
    def _one_channel_in_v1(cls, enabled: bool | None, info: ValidationInfo) -> bool | None:
        if enabled and info.data.get("stream_version") == "v1":
            raise ValueError("expected false or null: stream_version v1 carries one channel; take v2")
        return enabled

    @property
    def port(self) -> int:
        """TCP port of the stream."""
        return self.stream_port or {"v2": 31_001, "v1": 9999}[self.stream_version]
