"""The high voltage of a sensor that needs one."""

import time

__all__ = ["HighVoltage"]


class HighVoltage:
    """Off until it is switched on; after a reset it is ramping for a while."""

    def __init__(self) -> None:
        self._ready_at: float | None = None

    def switch_on(self) -> None:
        """It is there."""
        self._ready_at = time.monotonic()

    def ramp(self, seconds: float) -> None:
        """It will be there again after that time."""
        self._ready_at = time.monotonic() + seconds

    def state(self) -> str:
        """`OFF`, `RAMPING` or `READY`."""
        if self._ready_at is None:
            return "OFF"
        return "READY" if time.monotonic() >= self._ready_at else "RAMPING"
