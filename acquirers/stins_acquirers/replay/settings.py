"""What can be set on a replay."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from stins.daemon import Model

__all__ = ["ReplaySettings"]


class ReplaySettings(Model):
    """Settings of a replay."""

    capture: Path
    """File with the captured messages: concatenated CBOR values, or a zip of one such file."""
    pace: Literal["original", "fast"] = "original"
    """`original`: by the capture's timestamps, where it has any; `fast`: as fast as anybody takes the frames."""
    longest_pause_s: float = Field(default=10.0, gt=0, json_schema_extra={"unit": "s"})
    """A longer pause between two frames of the capture is cut to this."""
    rate_hz: float | None = Field(default=None, gt=0, json_schema_extra={"unit": "Hz"})
    """Frames per second instead; none: as `pace` says."""
