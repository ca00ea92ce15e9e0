"""A simulated axis that moves through its points and gives a pulse at each: what triggers detectors in a fly scan."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device, Kind

from stins import StinsError

from .settings import OwnSignal
from .status import ProgressStatus, Worker

__all__ = ["AxisFlight", "PulsingAxis"]

_JOIN_S = 10.0


@dataclass(frozen=True)
class AxisFlight:
    """From `start` to `stop` through `points` points, evenly in place and time, in `time_s` seconds.

    `pulse_s` is how long each pulse lasts, for detectors that take it as a level.

    Raises:
        StinsError: no points, or no time.
    """

    start: float
    stop: float
    points: int
    time_s: float
    pulse_s: float = 0.0

    def __post_init__(self) -> None:
        if self.points < 1 or not self.time_s > 0:
            got = f"{self.points} points in {self.time_s:g} s"
            raise StinsError(f"AxisFlight: got {got}, expected at least one point and more than 0 s")

    def position(self, point: int) -> float:
        """Where that point is."""
        return self.start + (self.stop - self.start) * point / max(self.points - 1, 1)

    def due_s(self, point: int) -> float:
        """When it is reached, in s from the kickoff."""
        return self.time_s * point / max(self.points - 1, 1)


class PulsingAxis(Device):
    """An axis that can be set, scanned and flown. `pulses` are called at each point with the length of the pulse in s.

    `Controller.pulse` is such a call, to the trigger input of a simulated detector. Flown, it has an event for each
    point: its place, in a stream of its own beside the detectors'.
    """

    readback = Cpt(OwnSignal, value=0.0, kind=Kind.hinted, doc="where it is")

    def __init__(
        self, prefix: str = "", *, name: str, pulses: Sequence[Callable[[float], object]] = (), **keywords: Any
    ) -> None:
        super().__init__(prefix, name=name, **keywords)
        self.readback.name = name
        self._pulses = tuple(pulses)
        self._worker = Worker(f"{name}-worker", _JOIN_S)
        self._flight: AxisFlight | None = None
        self._kicked_off = False
        self._stopped = threading.Event()
        self._reached: list[dict[str, Any]] = []

    @property
    def position(self) -> float:
        """Where it is."""
        return float(self.readback.get())

    def set(self, value: float, **_: Any) -> ProgressStatus:
        """Goes there at once."""
        status = ProgressStatus(self, target=1, unit="points", what="set")
        self.readback.put(value)
        status.set_finished()
        return status

    def prepare(self, value: AxisFlight) -> ProgressStatus:
        """Goes to where the flight begins; one that is under way still, of a plan that was broken off, is stopped."""
        if not isinstance(value, AxisFlight):
            raise StinsError(f"{self.name}: prepare: got {value!r}, expected an AxisFlight")
        self.stop()
        self._worker.join()
        self._flight, self._kicked_off, self._reached = value, False, []
        return self.set(value.start)

    def kickoff(self) -> ProgressStatus:
        """Ready to fly: `complete` does."""
        if self._flight is None:
            raise StinsError(f"{self.name}: kickoff: not prepared; prepare it with an AxisFlight first")
        self._stopped.clear()
        self._kicked_off = True
        status = ProgressStatus(self, target=1, unit="points", what="kickoff")
        status.set_finished()
        return status

    def complete(self) -> ProgressStatus:
        """Done at the last point, behind its pulse; fails with what a pulse failed with."""
        flight = self._flight
        if flight is None or not self._kicked_off:
            raise StinsError(f"{self.name}: complete: not kicked off; kick it off first")
        self._flight = None
        status = ProgressStatus(self, target=flight.points, unit="points", what="complete")
        self._worker.run(status, lambda: self._fly(flight, status.progress))
        return status

    def stop(self, success: bool = False) -> None:  # noqa: ARG002  # the RunEngine says it by name
        """Stays where it is; a flight that is under way fails."""
        self._stopped.set()

    def pause(self) -> None:
        """A flight cannot go on after a pause: its pulses would come at other times than its points."""
        self.stop()

    def resume(self) -> None:
        """Nothing goes on by itself."""

    def describe_collect(self) -> dict[str, Any]:
        """The place of each point."""
        described: dict[str, Any] = self.describe()
        return described

    def collect(self) -> Iterator[dict[str, Any]]:
        """An event for each point that was reached and not told yet."""
        reached, self._reached = self._reached, []
        yield from reached

    def _fly(self, flight: AxisFlight, progress: Callable[[int], None]) -> None:
        began = time.monotonic()
        for point in range(flight.points):
            if self._stopped.wait(max(began + flight.due_s(point) - time.monotonic(), 0.0)):
                raise StinsError(f"stopped at point {point} of {flight.points}, at {self.position:g}")
            self._arrive(flight.position(point), flight.pulse_s)
            progress(point + 1)

    def _arrive(self, position: float, pulse_s: float) -> None:
        now = time.time()
        self.readback.put(position)
        for pulse in self._pulses:
            pulse(pulse_s)
        self._reached.append({"data": {self.name: position}, "timestamps": {self.name: now}, "time": now})
