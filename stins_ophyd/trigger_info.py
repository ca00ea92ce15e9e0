"""What a series is prepared with: a value after the pattern of ophyd-async's TriggerInfo."""

from dataclasses import dataclass

from stins import StinsError
from stins.control import TriggerMode

__all__ = ["TriggerInfo"]


@dataclass(frozen=True)
class TriggerInfo:
    """`number_of_events` events of `frames_per_event` frames each; times in seconds, 0 leaves what is set.

    `internal`: a fly series that runs by itself after kickoff. `external`: a cable triggers each event. `software`:
    only the times are set, the detector stays in step mode, where each trigger takes a point.

    `pulse_timeout_s`: how long a cable may be silent before the plan fails; 0 leaves it at the controller's deadline.
    """

    number_of_events: int = 1
    trigger: TriggerMode = "internal"
    frames_per_event: int = 1
    livetime: float = 0.0
    deadtime: float = 0.0
    pulse_timeout_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("number_of_events", "frames_per_event"):
            if getattr(self, name) < 1:
                raise StinsError(f"TriggerInfo.{name}: got {getattr(self, name)}, expected at least 1")
        if self.trigger not in ("internal", "software", "external"):
            raise StinsError(
                f"TriggerInfo.trigger: got {self.trigger!r}, expected 'internal', 'software' or 'external'"
            )

    @property
    def frames(self) -> int:
        """All frames of the series."""
        return self.number_of_events * self.frames_per_event

    @property
    def times(self) -> dict[str, float]:
        """The settings that this asks for."""
        times = {"exposure_s": self.livetime} if self.livetime else {}
        if self.deadtime:
            times["period_s"] = self.livetime + self.deadtime
        return times

    @classmethod
    def of(cls, value: object) -> "TriggerInfo":
        """A number of frames, or a TriggerInfo as it is."""
        if isinstance(value, cls):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return cls(number_of_events=value)
        raise StinsError(f"prepare: got {value!r}, expected a number of frames or a TriggerInfo")
