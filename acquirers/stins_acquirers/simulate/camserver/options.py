"""What can be set on the simulator when it is started."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from stins.daemon import Model

from .faults import Fault
from .models import MODELS

__all__ = ["PilatusOptions"]

Port = Annotated[int, Field(ge=0, le=65_535)]
Side = Annotated[int, Field(ge=8, le=8192)]


class PilatusOptions(Model):
    """Options of `stins simulate pilatus`, and keys of its configuration file."""

    folder: Path
    """Where images appear, and below which `imgpath` may lead; it is created if its parent is there."""
    model: str = "pilatus3-300k"
    """Which detector."""
    shape: tuple[Side, Side] | None = Field(default=None, json_schema_extra={"unit": "pixel"})
    """Rows and columns, where they are to be others than the model's: small images for quick tests."""
    host: str = "127.0.0.1"
    """Address to listen on. Nothing of camserver is protected: whoever reaches it controls it."""
    port: Port = 0
    """Port of camserver (a real one has 41234); 0 lets the system choose, as for the other."""
    hook_port: Port = 0
    """Port of the test hook, which a real detector does not have: one command a line, `help` lists them."""
    photons: float = Field(default=1.0, gt=0, le=1e5, json_schema_extra={"unit": "count"})
    """Mean counts of a pixel."""
    pool: int = Field(default=8, ge=1, le=256)
    """How many different images are computed, at the start, and then written in turn."""
    seed: int = Field(default=0, ge=0)
    """Of the noise: the same seed gives the same images."""
    threshold_s: float = Field(default=1.0, ge=0, le=600, json_schema_extra={"unit": "s"})
    """How long setting threshold or energy takes (96 s on a 6M)."""
    folder_bytes: int | None = Field(default=None, ge=0, json_schema_extra={"unit": "byte"})
    """How many bytes of images find room in the folder; null: as many as its file system has."""
    twice: bool = True
    """Whether an abort is answered with both `7 ERR` and `7 OK`, as some PILATUS3 do."""
    second_s: float = Field(default=0.0, ge=0, le=600, json_schema_extra={"unit": "s"})
    """How much later than `7 ERR` that `7 OK` comes, whatever else is answered meanwhile."""
    faults: tuple[Fault, ...] = ()
    """What goes wrong, on request."""

    @field_validator("model")
    @classmethod
    def _known(cls, model: str) -> str:
        if model not in MODELS:
            raise ValueError(f"expected one of {', '.join(MODELS)}")
        return model
