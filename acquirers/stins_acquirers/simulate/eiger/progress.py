"""How far a series is: which triggers came, what they started, and whether that was all."""

from collections.abc import Iterable, Mapping

from .keys import Value
from .orders import Exposure
from .triggers import Pulses, pulsed

__all__ = ["Progress"]


class Progress:
    """Of one series with this configuration. Used under the detector's lock."""

    def __init__(self, config: Mapping[str, Value]) -> None:
        self._config = config
        self._gated = config["trigger_mode"] == "extg"
        self._going_on: list[Exposure] = []
        self._triggers = 0
        self._done = 0
        self._images = 0
        self._gates = 0
        self._busy_until_ns = 0
        self.cancelled = False

    @property
    def exposing(self) -> bool:
        """Whether images are being taken."""
        return bool(self._going_on)

    @property
    def complete(self) -> bool:
        """Whether the series is over by itself. One of gates has no last trigger: it is ended by a command."""
        return self.cancelled or (not self._gated and self._done >= self._config["ntrigger"])

    def add(self, exposure: Exposure) -> None:
        """A trigger started this."""
        self._going_on.append(exposure)
        self._triggers += 1
        self._images += exposure.images
        self._busy_until_ns = exposure.end_ns

    def finish(self, exposure: Exposure) -> bool:
        """All its images are taken; False if it is none of this series."""
        if exposure not in self._going_on:
            return False
        self._going_on.remove(exposure)
        self._done += 1
        return True

    def pulse(self, pulses: Pulses, now_ns: int, appendix: Value) -> tuple[list[Exposure], int]:
        """What external pulses start, and how many of them are taken: one that comes too early, or too late, is not."""
        found = list(self._accepted(pulsed(self._config, pulses, now_ns, self._gates, appendix)))
        if not self._gated:
            return found, len(found)
        self._gates = (self._gates + pulses.count) % self._config["nexpi"]
        return found, pulses.count

    def _accepted(self, exposures: Iterable[Exposure]) -> Iterable[Exposure]:
        for exposure in exposures:
            if self._gated:
                left = self._config["nimages"] * self._config["ntrigger"] - self._images
                exposure.images = min(exposure.images, left)
                # Gates that were left over began while the image before them was still taken.
                exposure.start_ns = max(exposure.start_ns, self._busy_until_ns)
            elif self._triggers >= self._config["ntrigger"]:
                return
            if exposure.images > 0 and exposure.start_ns >= self._busy_until_ns:
                self.add(exposure)
                yield exposure
