"""What a detector is set to for the trigger that it is prepared with, and what it cannot do. No I/O."""

from collections.abc import Mapping
from typing import Any

import msgspec

from stins import StinsError
from stins.control import AcquirerStatus, TriggerKind

from .trigger_info import DetectorTrigger, TriggerInfo

__all__ = ["Summing", "Triggering"]

_NAMES: Mapping[TriggerKind, DetectorTrigger] = {
    "internal": DetectorTrigger.INTERNAL,
    "edge": DetectorTrigger.EXTERNAL_EDGE,
    "level": DetectorTrigger.EXTERNAL_LEVEL,
    "software": DetectorTrigger.SOFTWARE,
}


class Summing(msgspec.Struct, frozen=True):
    """How several exposures become a frame: the setting that takes their number, and what else has to be set."""

    setting: str
    others: Mapping[str, Any] = {}


class Triggering(msgspec.Struct, frozen=True):
    """The settings of a kind of detector for each trigger, and for exposures that it sums itself."""

    cables: Mapping[DetectorTrigger, Mapping[str, Any]] = {}
    sums: Mapping[DetectorTrigger, Summing] = {}

    def settings_for(self, info: TriggerInfo, acquirer: AcquirerStatus) -> dict[str, Any]:
        """What has to be set, all or none.

        Raises:
            StinsError: this detector cannot do that; the text says what it can.
        """
        who = f"that is what the {acquirer.backend} detector can"
        if not set(info.kinds) & set(acquirer.triggers):
            known = ", ".join(_NAMES[kind].name for kind in acquirer.triggers)
            raise StinsError(f"got trigger {info.trigger.name}, expected one of {known}: {who}")
        self._check_kickoffs(info, acquirer, who)
        exposure_s = acquirer.settings.get("exposure_s")
        times = info.times(exposure_s if isinstance(exposure_s, int | float) else 0.0)
        return times | dict(self.cables.get(info.trigger, {})) | self._sum(info, acquirer, who)

    def summed(self, acquirer: AcquirerStatus) -> dict[str, Any]:
        """How many exposures become a frame now, whatever triggers it: what has to be put back after a series."""
        names = {how.setting for how in self.sums.values() if not how.others}
        return {name: acquirer.settings[name] for name in names if name in acquirer.settings}

    def _check_kickoffs(self, info: TriggerInfo, acquirer: AcquirerStatus, who: str) -> None:
        """A pulse between two kickoffs shows by its frame; one of several that make a frame together does not."""
        if info.kickoffs == 1 or not info.by_pulses:
            return
        pulses = [info.exposures_per_collection] if info.trigger in self.sums else []
        if info.trigger is DetectorTrigger.EXTERNAL:
            set_now = acquirer.settings
            modes = [how for how in self.sums.values() if how.others and how.others.items() <= set_now.items()]
            pulses = [int(set_now.get(how.setting) or 1) for how in modes]
        if max(pulses, default=1) > 1:
            got = f"{max(pulses)} pulses for each frame with {info.kickoffs} kickoffs"
            raise StinsError(f"got {got}, expected one pulse for each frame, or one kickoff: {who} tell apart")

    def _sum(self, info: TriggerInfo, acquirer: AcquirerStatus, who: str) -> dict[str, Any]:
        if (exposures := info.exposures_per_collection) == 0:
            return {}
        if exposures == 1:
            return dict.fromkeys(self.summed(acquirer), 1)
        if (how := self.sums.get(info.trigger)) is None:
            able = ", ".join(trigger.name for trigger in self.sums)
            more = f" (more with trigger {able})" if able else ""
            name = f"exposures_per_collection {exposures} with trigger {info.trigger.name}"
            raise StinsError(f"got {name}, expected 1{more}: {who}")
        return {**how.others, how.setting: exposures}
