"""What a status says of a backend."""

from collections.abc import Mapping
from typing import Any

import msgspec
from pydantic import BaseModel

from stins.control import FrameDescription, TriggerKind

from .backend import Backend, KnowsBusy, KnowsInterval, KnowsTriggers

__all__ = ["Look", "busy_of", "look_at"]


class Look(msgspec.Struct, frozen=True):
    """What the next frame looks like, what is set, in which units, how far apart two frames may be, what the detector
    is busy with, and what it can be triggered by.
    """

    frame: FrameDescription | None
    settings: dict[str, Any]
    units: dict[str, str]
    interval_s: float
    busy: str
    triggers: tuple[TriggerKind, ...]


def look_at(backend: Backend) -> Look:
    """Only a command may change it, and the end of what the detector is busy with: it is read then, not in the loop."""
    # First: what is set may be known only once the detector is done.
    busy = busy_of(backend)
    settings = backend.settings.model_dump(mode="json")
    interval_s, triggers = _interval_s(backend, settings), _triggers(backend)
    return Look(backend.describe(), settings, _units(backend.settings), interval_s, busy, triggers)


def busy_of(backend: Backend) -> str:
    """What the detector is busy with between series, else empty; raises `BackendError` once when that went wrong."""
    return backend.busy() if isinstance(backend, KnowsBusy) else ""


def _triggers(backend: Backend) -> tuple[TriggerKind, ...]:
    return backend.triggers if isinstance(backend, KnowsTriggers) else ("internal", "software")


def _interval_s(backend: Backend, settings: Mapping[str, Any]) -> float:
    if isinstance(backend, KnowsInterval):
        return backend.interval_s
    times = [settings.get(name) for name in ("exposure_s", "period_s")]
    return max([float(time) for time in times if isinstance(time, int | float)], default=0.0)


def _units(settings: BaseModel) -> dict[str, str]:
    extras = {name: field.json_schema_extra for name, field in type(settings).model_fields.items()}
    return {name: str(extra["unit"]) for name, extra in extras.items() if isinstance(extra, dict) and "unit" in extra}
