"""What a status says of a backend."""

from typing import Any

import msgspec
from pydantic import BaseModel

from stins.control import FrameDescription

from .backend import Backend

__all__ = ["Look", "look_at"]


class Look(msgspec.Struct, frozen=True):
    """What the next frame looks like, what is set, and in which units."""

    frame: FrameDescription | None
    settings: dict[str, Any]
    units: dict[str, str]


def look_at(backend: Backend) -> Look:
    """Only a command may change it, so it is read inside commands: a bug in it reaches their caller, not the loop."""
    settings = backend.settings
    return Look(backend.describe(), settings.model_dump(mode="json"), _units(settings))


def _units(settings: BaseModel) -> dict[str, str]:
    extras = {name: field.json_schema_extra for name, field in type(settings).model_fields.items()}
    return {name: str(extra["unit"]) for name, extra in extras.items() if isinstance(extra, dict) and "unit" in extra}
