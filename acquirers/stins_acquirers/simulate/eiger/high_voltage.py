"""The high voltage of a sensor that needs one."""

import time

from .faults import Faults
from .keys import RefusedError

__all__ = ["HighVoltage"]


class HighVoltage:
    """Off until it is switched on; after a reset it is ramping for a while."""

    def __init__(self, faults: Faults, *, needed: bool) -> None:
        self._faults = faults
        self._needed = needed
        self._ready_at: float | None = None

    def switch_on(self) -> None:
        """It is there."""
        self._ready_at = time.monotonic()

    def reset(self, seconds: float) -> None:
        """It goes, and will be there again after that time."""
        if not self._needed:
            raise RefusedError("hv_reset: this detector has no high voltage", 404)
        self._ready_at = time.monotonic() + seconds

    def state(self) -> str:
        """`OFF`, `RAMPING` or `READY`; `NA` where there is none."""
        if not self._needed:
            return "NA"
        if self._ready_at is None or self._faults.has("high_voltage_off"):
            return "OFF"
        return "READY" if time.monotonic() >= self._ready_at else "RAMPING"
