"""What a status says of a backend."""

from collections.abc import Mapping
from typing import Any

import msgspec
from pydantic import BaseModel

from stins.control import FrameDescription

from .backend import Backend, KnowsInterval

__all__ = ["Look", "look_at"]


class Look(msgspec.Struct, frozen=True):
    """What the next frame looks like, what is set, in which units, and how far apart two frames may be."""

    frame: FrameDescription | None
    settings: dict[str, Any]
    units: dict[str, str]
    interval_s: float


def look_at(backend: Backend) -> Look:
    """Only a command may change it, so it is read inside commands: a bug in it reaches their caller, not the loop."""
    settings = backend.settings.model_dump(mode="json")
    return Look(backend.describe(), settings, _units(backend.settings), _interval_s(backend, settings))


def _interval_s(backend: Backend, settings: Mapping[str, Any]) -> float:
    if isinstance(backend, KnowsInterval):
        return backend.interval_s
    times = [settings.get(name) for name in ("exposure_s", "period_s")]
    return max([float(time) for time in times if isinstance(time, int | float)], default=0.0)


def _units(settings: BaseModel) -> dict[str, str]:
    extras = {name: field.json_schema_extra for name, field in type(settings).model_fields.items()}
    return {name: str(extra["unit"]) for name, extra in extras.items() if isinstance(extra, dict) and "unit" in extra}
