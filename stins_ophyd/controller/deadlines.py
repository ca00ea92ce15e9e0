"""How long the controller waits for what."""

from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["Deadlines"]


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """Every deadline of the controller, in seconds."""

    connect_s: float = 5.0
    """Until both processes have said how they are."""
    command_s: float = 5.0
    """Until a process answers a command (trigger, configure, prepare, reset)."""
    arm_s: float = 15.0
    """Until the acquirer is armed, and again until the recorder has opened the file."""
    stall_s: float = 5.0
    """How long nothing may happen while frames are awaited, on top of twice the time of one frame."""
    close_s: float = 15.0
    """Until a series that was told to end is closed in the recorder."""
    offline_s: float = 1.0
    """How long a process may be out of hearing before what is awaited has failed."""
    away_s: float = 15.0
    """How long a recorder may be, whose frames the acquirer keeps meanwhile (replay): one that is started again goes on
    with its series. Among several recorders, how long the others wait for it before they are joined without it."""

    def stall_of(self, settings: Mapping[str, Any]) -> float:
        """How long no frame may come: derived from the acquirer's exposure and period."""
        times = [settings.get(name) for name in ("exposure_s", "period_s")]
        return self.stall_s + 2 * max([float(time) for time in times if isinstance(time, int | float)], default=0.0)
