"""What can be set on a detector that camserver drives: PILATUS2, PILATUS3."""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from stins.daemon import Model

__all__ = ["PilatusSettings"]

Unit = dict[str, Any]
_EV: Unit = {"unit": "eV"}
_S: Unit = {"unit": "s"}
_PIXEL: Unit = {"unit": "pixel"}
_BYTE: Unit = {"unit": "byte"}
#: Camserver reads lines of words: what ends a line or a string must not stand in a value.
_PLAIN = re.compile(r"[ !#-~]*")
_WORD = re.compile(r"[!#-~]+")


class PilatusSettings(Model):
    """Settings of the detector. What is null is left as it is on the detector, and read from there."""

    # -- where it is ----------------------------------------------------------------------------

    host: str = Field(default="127.0.0.1", min_length=1)
    """Name or address of the computer that camserver runs on."""
    port: int = Field(default=41_234, ge=1, le=65_535)
    """TCP port of camserver."""
    folder: Path
    """Where images appear, as seen from the acquirer: a RAM disk of the detector's computer, best with the acquirer on
    it, else mounted. Nobody else may write files called `stins_*.cbf` there."""
    camserver_folder: str | None = Field(default=None, validate_default=True)
    """The same folder as camserver calls it; null: by the same name."""

    # -- the exposure ---------------------------------------------------------------------------

    exposure_s: float = Field(default=0.1, ge=1e-7, le=5_184_000, json_schema_extra=_S)
    """Count time of one exposure."""
    period_s: float = Field(default=0.0, ge=0, le=5_184_000, json_schema_extra=_S)
    """Time from exposure to exposure; 0: the shortest, `exposure_s` and the detector's readout time."""
    exposures_per_frame: int = Field(default=1, ge=1, le=999_999)
    """How many exposures are summed in the detector before it is read out."""
    readout_s: float | None = Field(default=None, ge=0, json_schema_extra=_S)
    """Least time between two exposures; null: as camserver says, or 0.95 ms for PILATUS3 and 3 ms for PILATUS2."""
    cable_mode: Literal["trigger", "gate"] = "trigger"
    """What a pulse of an external trigger does: it starts exposures of `exposure_s`, or lasts as long as the one."""
    delay_s: float = Field(default=0.0, ge=0, lt=64, json_schema_extra=_S)
    """From the external trigger to the first exposure."""

    # -- energies -------------------------------------------------------------------------------

    incident_energy: float | None = Field(default=None, ge=1_000, le=100_000, json_schema_extra=_EV)
    """Photon energy of the beam. Changing it trims the detector, which takes up to 110 s; the threshold follows it
    unless `threshold_energy` is given."""
    threshold_energy: float | None = Field(default=None, ge=1_000, le=100_000, json_schema_extra=_EV)
    """Energy above which photons are counted."""
    gain: Literal["lowG", "midG", "highG", "uhighG"] | None = None
    """Gain of the amplifiers, where it is not to follow from the energy."""

    # -- images ---------------------------------------------------------------------------------

    compression: Literal["cbf", "bslz4", "none"] = "cbf"
    """How frames are sent: `cbf`: the detector's files as they are, whose pixels the recorder stores; `bslz4`, `none`:
    as int32, unpacked here."""
    gap_fill: Literal[0, -1] | None = -1
    """Value of pixels between modules; null for a detector without gaps."""
    shape: tuple[int, int] | None = Field(default=None, json_schema_extra=_PIXEL)
    """Rows and columns; null: as camserver says."""
    sensor_material: str = "Si"
    """Of the sensor."""
    sensor_thickness: float | None = Field(default=None, gt=0, json_schema_extra={"unit": "m"})
    """Of the sensor."""

    # -- geometry, and what else stands in image headers ----------------------------------------

    beam_center_x: float | None = Field(default=None, json_schema_extra=_PIXEL)
    """Where the beam hits, along the columns."""
    beam_center_y: float | None = Field(default=None, json_schema_extra=_PIXEL)
    """Where the beam hits, along the rows."""
    distance: float | None = Field(default=None, gt=0, json_schema_extra={"unit": "m"})
    """From the sample to the detector."""
    mx_settings: dict[str, int | float | str] = {}
    """Further `mxsettings` of camserver, by its names and in its units: `{Oscillation_axis: omega, Start_angle: 10,
    Angle_increment: 0.1}`; these three also stand in the file as the goniometer."""
    header_string: str = Field(default="", max_length=68)
    """Text for the header of each image."""

    # -- the folder -----------------------------------------------------------------------------

    folder_reserve_bytes: int = Field(default=64 << 20, ge=0, json_schema_extra=_BYTE)
    """So much must stay free in the folder's file system: with less, a series is refused, or ended."""
    folder_limit_bytes: int | None = Field(default=None, ge=1, json_schema_extra=_BYTE)
    """Images of this acquirer may take so much at most; null: what the file system has."""
    leftovers: Literal["keep", "delete"] = "keep"
    """Images of earlier series that nobody has recorded: `keep` them until their room is needed, oldest first, or
    `delete` them when the next series is armed."""

    take_over: bool = False
    """Whether a series that is under way when the acquirer connects is ended, whoever has started it."""

    # -- how long things may take ---------------------------------------------------------------

    answer_timeout_s: float = Field(default=5.0, gt=0, json_schema_extra=_S)
    """How long camserver may take to connect, and to answer."""
    threshold_timeout_s: float = Field(default=110.0, gt=0, json_schema_extra=_S)
    """How long it may take to trim the detector."""
    image_timeout_s: float = Field(default=10.0, gt=0, json_schema_extra=_S)
    """How much later than it should be there an image may appear."""
    poll_interval_s: float = Field(default=0.002, gt=0, le=1, json_schema_extra=_S)
    """How often it is looked whether the next image is there."""

    @field_validator("period_s")
    @classmethod
    def _longer_than_the_exposure(cls, period_s: float, info: ValidationInfo) -> float:
        exposure_s = info.data.get("exposure_s", 0.0)
        if 0 < period_s < exposure_s:
            raise ValueError(f"expected 0 (the shortest) or at least exposure_s, which is {exposure_s:g} s")
        return period_s

    @field_validator("header_string")
    @classmethod
    def _plain(cls, text: str) -> str:
        if not _PLAIN.fullmatch(text):
            raise ValueError('expected printable ASCII without "')
        return text

    @field_validator("camserver_folder")
    @classmethod
    def _one_word(cls, text: str | None, info: ValidationInfo) -> str | None:
        path = str(info.data.get("folder", "/")) if text is None else text
        if not _WORD.fullmatch(path):
            raise ValueError(f'camserver would not take {path!r}: expected printable ASCII without blanks and "')
        return text

    @field_validator("mx_settings")
    @classmethod
    def _words(cls, values: dict[str, int | float | str]) -> dict[str, int | float | str]:
        for key, value in values.items():
            if not (_WORD.fullmatch(key) and _WORD.fullmatch(str(value))):
                raise ValueError(f'{key}: {value!r}: expected printable ASCII without blanks and "')
        return values

    @property
    def imgpath(self) -> str:
        """The folder as camserver calls it."""
        return self.camserver_folder or str(self.folder)
