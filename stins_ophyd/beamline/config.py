"""A beamline file: which detectors there are, and what each is made of."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from pydantic import Field, StringConstraints, field_validator

from stins.control import NumbersKey, NumbersRequest
from stins.daemon import Model, load_config
from stins.numbers import problems_with

__all__ = ["BeamlineConfig", "DetectorConfig", "load_beamline"]

#: What a beamline and its detectors may be called: it stands in names of files, of daemons and of data keys.
_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]


class RegionConfig(Model):
    """A rectangle of pixels of which numbers are computed."""

    name: str
    """What its numbers are called by."""
    row: int
    """Its first row."""
    column: int
    """Its first column."""
    rows: int
    """How many rows it has."""
    columns: int
    """How many columns it has."""


class NumbersConfig(Model):
    """Numbers of each frame: each of `keys`, of the whole frame and of each region."""

    keys: tuple[NumbersKey, ...] = ("sum",)
    """Which: sum, mean, max, saturated."""
    regions: tuple[RegionConfig, ...] = ()
    """Of which parts of the frame, besides the whole."""
    channels: tuple[str, ...] = ()
    """Of which further images of a frame; none: of all that it has."""

    @property
    def request(self) -> NumbersRequest:
        """The same, as it is asked of a recorder."""
        return msgspec.convert(self.model_dump(), NumbersRequest)


class DetectorConfig(Model):
    """One detector: an acquirer beside its hardware and a recorder, or several that share each series."""

    simulator: dict[str, Any] | None = None
    """What stands in for the detector: `kind` (eiger or pilatus), and options as for `stins simulate KIND`. It is
    started first, and its acquirer is led to it."""
    acquirer: dict[str, Any] = Field(min_length=1)
    """The configuration of its acquirer, as for `stins acquirer --config` (`name` is the detector's)."""
    recorder: dict[str, Any] = {}
    """The configuration of its recorder, as for `stins recorder --config`; `name`, `sources`, `acks` and `roots` have
    defaults: the detector's name, its acquirer, and the beamline's data folder."""
    recorders: int | list[dict[str, Any]] = 1
    """How many recorders share the frames, or what each of them has beside what stands in `recorder`. All of them need
    a root that they all see."""
    numbers: NumbersConfig | None = None
    """Numbers of each frame that its recorder computes: `keys` (sum, mean, max, saturated), and `regions`, each with
    `name`, `row`, `column`, `rows` and `columns`."""

    @field_validator("numbers")
    @classmethod
    def _check_numbers(cls, numbers: NumbersConfig | None) -> NumbersConfig | None:
        if numbers is not None and (problems := problems_with(numbers.request)):
            raise ValueError("\n".join(problems))
        return numbers

    @property
    def wanted_numbers(self) -> NumbersRequest | None:
        """The same, as a `StinsDetector` takes it."""
        return None if self.numbers is None else self.numbers.request

    @field_validator("recorders")
    @classmethod
    def _check_recorders(cls, recorders: int | list[dict[str, Any]]) -> int | list[dict[str, Any]]:
        if not recorders or (isinstance(recorders, int) and recorders < 0):
            raise ValueError("expected at least 1")
        return recorders

    @property
    def each_recorder(self) -> list[dict[str, Any]]:
        """The configuration of each recorder, by its share."""
        own = [{}] * self.recorders if isinstance(self.recorders, int) else self.recorders
        return [{**self.recorder, **config} for config in own]


class BeamlineConfig(Model):
    """A whole beamline."""

    name: _Name = "beamline"
    """Name of the beamline; `stins status NAME` finds its processes by it."""
    data: Path = Path("data")
    """Folder below which files are recorded; relative to the beamline file, `~` is the user's home."""
    detectors: dict[_Name, DetectorConfig] = Field(min_length=1)
    """The detectors by name."""


def load_beamline(path: Path) -> BeamlineConfig:
    """Reads a beamline file; `data` becomes absolute.

    Raises:
        ConfigError: it names the field, the value and what is allowed.
    """
    config = load_config(path, BeamlineConfig)
    return config.model_copy(update={"data": (path.parent / config.data.expanduser()).resolve()})
