"""A simulated axis that moves through its points and gives a pulse at each: what triggers detectors in a fly scan."""

import threading
import time
from collections import deque
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
        self._course: AxisFlight | None = None
        self._flight = _Flight()
        self._kicked_off = False

    @property
    def position(self) -> float:
        """Where it is."""
        return float(self.readback.get())

    @property
    def flies(self) -> bool:
        """Whether it moves and gives pulses."""
        return self._flight.flies.is_set()

    def set(self, value: float, **_: Any) -> ProgressStatus:
        """Goes there at once; a flight that is under way is stopped first."""
        self._end_flight()
        return self._go(value, "set")

    def prepare(self, value: AxisFlight) -> ProgressStatus:
        """Goes to where the flight begins; one that is under way still, of a plan that was broken off, is stopped."""
        if not isinstance(value, AxisFlight):
            raise StinsError(f"{self.name}: prepare: got {value!r}, expected an AxisFlight")
        self._end_flight()
        self._course, self._flight, self._kicked_off = value, _Flight(), False
        return self._go(value.start, "prepare")

    def kickoff(self) -> ProgressStatus:
        """Ready to fly: `complete` does."""
        if self._course is None:
            raise StinsError(f"{self.name}: kickoff: not prepared; prepare it with an AxisFlight first")
        self._kicked_off = True
        status = ProgressStatus(self, target=1, unit="points", what="kickoff")
        status.set_finished()
        return status

    def complete(self) -> ProgressStatus:
        """Done at the last point, behind its pulse; fails with what a pulse failed with."""
        course, flight = self._course, self._flight
        if course is None or not self._kicked_off:
            raise StinsError(f"{self.name}: complete: not kicked off; kick it off first")
        self._course = None
        status = ProgressStatus(self, target=course.points, unit="points", what="complete")
        flight.flies.set()
        self._worker.run(status, lambda: self._fly(course, flight, status.progress))
        return status

    def stop(self, success: bool = False) -> None:  # noqa: ARG002  # the RunEngine says it by name
        """Stays where it is; a flight that is under way fails."""
        self._flight.stopped.set()

    def unstage(self) -> list[object]:
        """However the run ended, nothing moves or pulses any more."""
        # Its Status must not fail now: that would be thrown into the plan's cleaning up, and break it off.
        self._worker.abandon()
        self._end_flight()
        unstaged: list[object] = super().unstage()
        return unstaged

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
        reached = self._flight.reached
        while reached:
            yield reached.popleft()

    def _go(self, position: float, what: str) -> ProgressStatus:
        status = ProgressStatus(self, target=1, unit="points", what=what)
        self.readback.put(position)
        status.set_finished()
        return status

    def _end_flight(self) -> None:
        self._worker.settle()
        self.stop()
        self._worker.join()

    def _fly(self, course: AxisFlight, flight: "_Flight", progress: Callable[[int], None]) -> None:
        began = time.monotonic()
        try:
            for point in range(course.points):
                if flight.stopped.wait(max(began + course.due_s(point) - time.monotonic(), 0.0)):
                    raise StinsError(f"stopped at point {point} of {course.points}, at {self.position:g}")
                self._arrive(course.position(point), course.pulse_s, flight)
                progress(point + 1)
        finally:
            flight.flies.clear()

    def _arrive(self, position: float, pulse_s: float, flight: "_Flight") -> None:
        now = time.time()
        self.readback.put(position)
        for pulse in self._pulses:
            pulse(pulse_s)
        flight.reached.append({"data": {self.name: position}, "timestamps": {self.name: now}, "time": now})


class _Flight:
    """What one flight has of its own: one that is late must not end, or be told as, the next."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.flies = threading.Event()
        self.reached: deque[dict[str, Any]] = deque()
