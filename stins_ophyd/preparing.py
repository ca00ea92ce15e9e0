"""What is asked of a series that is to run by itself, and how the detector is prepared for it."""

from dataclasses import replace
from typing import Any

from stins import StinsError

from .configuration import Configuration
from .settings import OwnSignal
from .staging import Staging
from .trigger_info import TriggerInfo
from .triggering import Triggering

__all__ = ["Preparation"]


class Preparation:
    """Prepares the detector that is called `device`. Every error names it and the step."""

    def __init__(self, device: str, configuration: Configuration, triggering: Triggering) -> None:
        self._device = device
        self._configuration = configuration
        self._triggering = triggering

    def asked(self, value: object, events_to_kickoff: int) -> TriggerInfo:
        """What `prepare` was asked for, with the events of each kickoff where only the signal says them."""
        info = TriggerInfo.of(value)
        if events_to_kickoff and not info.events_per_kickoff:
            return replace(info, events_per_kickoff=events_to_kickoff)
        return info

    def settings_for(self, info: TriggerInfo) -> dict[str, Any]:
        """What has to be set for it.

        Raises:
            StinsError: the detector cannot do that; the text says what it can.
        """
        acquirer = self._configuration.acquirer
        assert acquirer is not None  # noqa: S101  # staging has asked it
        try:
            return self._triggering.settings_for(info, acquirer)
        except StinsError as error:
            raise StinsError(f"{self._device}: prepare: {error}") from None

    def prepare(self, staging: Staging, info: TriggerInfo, changes: dict[str, Any]) -> None:
        """Sets what has to be set, and arms. What exposures were summed is put back once the series is over."""
        if changes:
            # The next plan would not know why its frames have so many counts.
            acquirer = self._configuration.acquirer
            self._configuration.keep(self._triggering.summed(acquirer) if acquirer else {})
            self._configuration.apply(changes)
        staging.prepare(info)
        self._configuration.ask_if_changed()

    def check_kickoff(self, staging: Staging, events: OwnSignal) -> None:
        """Raises `StinsError` where that signal asks for other events than those that were prepared."""
        asked, armed = events.get(), staging.events_per_kickoff
        if asked and armed and asked != armed:
            raise StinsError(
                f"{events.name}: got {asked}, expected {armed} as prepared; set it before prepare: a "
                "detector is armed for frames of one number in each kickoff"
            )
