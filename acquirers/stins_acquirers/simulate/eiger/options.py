"""What can be set on the simulator when it is started."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from stins.daemon import Model

from .faults import Fault
from .models import FAMILIES, MODELS

__all__ = ["EigerOptions"]

Port = Annotated[int, Field(ge=0, le=65_535)]
Side = Annotated[int, Field(ge=8, le=8192)]


class EigerOptions(Model):
    """Options of `stins simulate eiger`, and keys of its configuration file."""

    model: str = "eiger2-1m"
    """Which detector; `eiger1`, `eiger2` and `pilatus4` are those of 1 Mpixel."""
    shape: tuple[Side, Side] | None = Field(default=None, json_schema_extra={"unit": "pixel"})
    """Rows and columns, where they are to be others than the model's: small images for quick tests."""
    api: Literal["1.6.0", "1.8.0"] = "1.8.0"
    """Version of the interface; 1.6.0 is what an EIGER1 with its first server has."""
    host: str = "127.0.0.1"
    """Address to listen on. Nothing of SIMPLON is protected: whoever reaches it controls it."""
    port: Port = 0
    """Port of HTTP (a real one has 80); 0 lets the system choose, as for the others."""
    stream_port: Port = 0
    """Port of stream v1 (a real one has 9999)."""
    stream2_port: Port = 0
    """Port of stream v2 (a real one has 31001)."""
    photons: float = Field(default=0.1, gt=0, le=1e5, json_schema_extra={"unit": "count"})
    """Mean counts of a pixel; at 0.1 an image of 1 Mpixel and 16 bits takes 160 kB as bslz4, at 10 it takes 680 kB."""
    pool: int = Field(default=8, ge=1, le=256)
    """How many different images are computed, when the detector is armed, and then sent in turn."""
    seed: int = Field(default=0, ge=0)
    """Of the noise: the same seed gives the same images."""
    buffer_images: int = Field(default=1000, ge=0, json_schema_extra={"unit": "image"})
    """How many images wait for a client before further ones are dropped."""
    initialize_s: float = Field(default=1.0, ge=0, le=600, json_schema_extra={"unit": "s"})
    """How long `initialize` takes."""
    arm_s: float = Field(default=0.1, ge=0, le=600, json_schema_extra={"unit": "s"})
    """How long `arm` takes, beside computing the images."""
    faults: tuple[Fault, ...] = ()
    """What goes wrong, on request."""

    @field_validator("model")
    @classmethod
    def _known(cls, model: str) -> str:
        if model in FAMILIES:
            return f"{model}-1m"
        if model not in MODELS:
            raise ValueError(f"expected one of {', '.join(MODELS)}")
        return model
