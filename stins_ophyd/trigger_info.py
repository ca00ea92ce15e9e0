"""What a series is prepared with: a value with the names of ophyd-async's TriggerInfo, whose object is taken too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeGuard

from stins import StinsError
from stins.control import TriggerKind, TriggerMode

__all__ = ["DetectorTrigger", "TriggerInfo"]


class DetectorTrigger(StrEnum):
    """What takes the exposures.

    `EXTERNAL_EDGE`, `EXTERNAL_LEVEL`: each exposure by a pulse of its own, which begins it, or is as long as it.
    `EXTERNAL`: pulses of whatever kind the detector is set to, one for each event. `SOFTWARE`: each `trigger` takes a
    point, as in a step scan; only the times are set.
    """

    INTERNAL = "internal"
    EXTERNAL_EDGE = "edge"
    EXTERNAL_LEVEL = "level"
    EXTERNAL = "external"
    SOFTWARE = "software"


#: ophyd-async's names, those of before 0.10 too; by name, so that it need not be installed.
_BY_NAME: Final = {
    "INTERNAL": DetectorTrigger.INTERNAL,
    "EXTERNAL_EDGE": DetectorTrigger.EXTERNAL_EDGE,
    "EXTERNAL_LEVEL": DetectorTrigger.EXTERNAL_LEVEL,
    "EDGE_TRIGGER": DetectorTrigger.EXTERNAL_EDGE,
    "CONSTANT_GATE": DetectorTrigger.EXTERNAL_LEVEL,
    "VARIABLE_GATE": DetectorTrigger.EXTERNAL_LEVEL,
}
_KINDS: Final[Mapping[DetectorTrigger, tuple[TriggerKind, ...]]] = {
    DetectorTrigger.INTERNAL: ("internal",),
    DetectorTrigger.EXTERNAL_EDGE: ("edge",),
    DetectorTrigger.EXTERNAL_LEVEL: ("level",),
    DetectorTrigger.EXTERNAL: ("edge", "level"),
    DetectorTrigger.SOFTWARE: ("software",),
}
_COUNTS: Final = {"number_of_events": 1, "collections_per_event": 1, "exposures_per_collection": 0}
_TIMES: Final = ("livetime", "deadtime", "exposure_timeout")


@dataclass(frozen=True)
class TriggerInfo:
    """`number_of_events` events of `collections_per_event` frames, each of `exposures_per_collection` exposures.

    `livetime` is the exposure and `deadtime` what lies between two, in seconds; 0 leaves what is set, and so do 0
    exposures per collection. `exposure_timeout`: how long the detector may give no frame before the plan fails, in
    seconds, but at least a second more than twice the time between two frames; 0: the controller's deadlines.

    `events_per_kickoff`: each kickoff takes so many of the events, and the series ends with the last one; 0: all at
    once. Pulses are to come between a kickoff and the end of its events; others fail the series.

    Raises:
        StinsError: a value makes no sense; the text names it.
    """

    number_of_events: int = 1
    trigger: DetectorTrigger = DetectorTrigger.INTERNAL
    livetime: float = 0.0
    deadtime: float = 0.0
    exposures_per_collection: int = 0
    collections_per_event: int = 1
    exposure_timeout: float = 0.0
    events_per_kickoff: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "trigger", _trigger_of(self.trigger))
        for name, least in _COUNTS.items():
            if not _is_count(value := getattr(self, name)) or value < least:
                raise StinsError(f"TriggerInfo.{name}: got {value!r}, expected a whole number of at least {least}")
        for name in _TIMES:
            if not (value := getattr(self, name)) >= 0:
                raise StinsError(f"TriggerInfo.{name}: got {value!r}, expected seconds, at least 0")
        self._check_kickoffs()

    def _check_kickoffs(self) -> None:
        each = self.events_per_kickoff
        if not _is_count(each) or each < 0 or (each and self.number_of_events % each):
            raise StinsError(
                f"TriggerInfo.events_per_kickoff: got {each!r}, expected 0 (all at once) or a whole number of which "
                f"number_of_events = {self.number_of_events} is a multiple"
            )
        if self.kickoffs > 1 and self.trigger is DetectorTrigger.SOFTWARE:
            raise StinsError(
                f"TriggerInfo.events_per_kickoff: got {each} with trigger SOFTWARE, expected 0: each `trigger` takes "
                "an event, and nothing is kicked off"
            )

    @property
    def frames(self) -> int:
        """All frames of the series."""
        return self.number_of_events * self.collections_per_event

    @property
    def kickoffs(self) -> int:
        """How often it is kicked off."""
        return self.number_of_events // (self.events_per_kickoff or self.number_of_events)

    @property
    def by_pulses(self) -> bool:
        """Whether a cable triggers."""
        return self.trigger not in (DetectorTrigger.INTERNAL, DetectorTrigger.SOFTWARE)

    @property
    def may_step(self) -> bool:
        """Whether a `trigger` may follow as well as a `kickoff`: ophyd-async prepares a point as one event."""
        return self.trigger is DetectorTrigger.SOFTWARE or (
            self.trigger is DetectorTrigger.INTERNAL and self.number_of_events == 1
        )

    @property
    def frames_per_point(self) -> int:
        """Frames of each `trigger` that follows; 0 where the detector's own setting says it."""
        if self.trigger is DetectorTrigger.SOFTWARE and self.collections_per_event == 1:
            return 0
        return self.collections_per_event if self.may_step else 0

    @property
    def mode(self) -> TriggerMode:
        """What the acquirer is armed for."""
        if self.by_pulses:
            return "external"
        return "software" if self.may_step or self.kickoffs > 1 else "internal"

    @property
    def frames_per_trigger(self) -> int:
        """Frames that a command, or a pulse, takes."""
        if self.trigger in (DetectorTrigger.EXTERNAL_EDGE, DetectorTrigger.EXTERNAL_LEVEL):
            return 1
        if self.trigger is DetectorTrigger.INTERNAL:
            return self.frames // self.kickoffs
        return self.collections_per_event

    @property
    def kinds(self) -> tuple[TriggerKind, ...]:
        """What the detector must be able to be triggered by: one of these."""
        by_command = self.kickoffs > 1 and not self.by_pulses
        return _KINDS[DetectorTrigger.SOFTWARE if by_command else self.trigger]

    def times(self, exposure_s: float) -> dict[str, float]:
        """The times to set; `exposure_s` is what is set now."""
        # A level is as long as it is: there is no exposure to be set.
        livetime = 0.0 if self.trigger is DetectorTrigger.EXTERNAL_LEVEL else self.livetime
        times = {"exposure_s": livetime} if livetime else {}
        if self.deadtime:
            times["period_s"] = (livetime or exposure_s) + self.deadtime
        return times

    @classmethod
    def of(cls, value: object) -> "TriggerInfo":
        """A number of frames, a TriggerInfo as it is, or what ophyd-async's says.

        Raises:
            StinsError: none of these, or something in it that cannot be done; the text names it.
        """
        if isinstance(value, cls):
            return value
        if _is_count(value):
            return cls(number_of_events=value)
        if all(hasattr(value, name) for name in ("trigger", "number_of_events", "livetime", "deadtime")):
            return _translated(value)
        raise StinsError(f"prepare: got {value!r}, expected a number of frames or a TriggerInfo")


def _translated(value: Any) -> TriggerInfo:
    events, each = _events(value.number_of_events)
    return TriggerInfo(
        number_of_events=events,
        trigger=value.trigger,
        livetime=value.livetime,
        deadtime=value.deadtime,
        exposures_per_collection=getattr(value, "exposures_per_collection", 1),
        collections_per_event=getattr(value, "collections_per_event", 1),
        exposure_timeout=getattr(value, "exposure_timeout", 0.0) or 0.0,
        events_per_kickoff=each,
    )


def _events(value: Any) -> tuple[int, int]:
    """All events, and those of each kickoff: ophyd-async had a list of the latter."""
    if not isinstance(value, Sequence):
        return value, 0
    if len(set(value)) != 1:
        raise StinsError(
            f"TriggerInfo.number_of_events: got {list(value)}, expected the same number of events for each kickoff"
        )
    return sum(value), value[0] if len(value) > 1 else 0


def _trigger_of(value: object) -> DetectorTrigger:
    if isinstance(value, DetectorTrigger):
        return value
    if (known := _BY_NAME.get(getattr(value, "name", ""))) is not None:
        return known
    try:
        return DetectorTrigger(str(value).lower())
    except ValueError:
        names = ", ".join(trigger.name for trigger in DetectorTrigger)
        raise StinsError(f"TriggerInfo.trigger: got {value!r}, expected one of {names}") from None


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
