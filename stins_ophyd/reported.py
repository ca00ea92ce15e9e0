"""What the acquirer has said last: its settings, as the configuration of the device."""

import time
from collections.abc import Sequence
from typing import Any

from ophyd import Device

from stins.control import AcquirerStatus

from .controller import Controller
from .settings import SettingSignal, describe_settings, read_settings

__all__ = ["Reported"]


class Reported:
    """Hands what is heard on to the signals of `device` that are settings, and keeps the rest.

    `acquirer` is None until something was heard.
    """

    def __init__(self, device: Device, controller: Controller) -> None:
        self._device = device
        self._controller = controller
        self._heard_at = time.time()
        self.acquirer: AcquirerStatus | None = None

    def ask(self) -> AcquirerStatus:
        """What the acquirer says now."""
        return self.hear(self._controller.read_acquirer())

    def hear(self, status: AcquirerStatus) -> AcquirerStatus:
        """Takes over what it has answered, and returns it."""
        self.acquirer, self._heard_at = status, time.time()
        for signal in self._signals():
            signal.heard(status)
        return status

    def ask_if_changed(self) -> None:
        """What is set is known once the detector is armed: it was read again, and may have been busy before."""
        before, now = self.acquirer, self._controller.snapshot.acquirer
        if before is not None and now is not None and now.settings != before.settings:
            # Asked, for what was pushed may be from before the last setting.
            self.ask()

    def read(self) -> dict[str, Any]:
        """The readings of all settings that are no signals."""
        if self.acquirer is None:
            return {}
        return read_settings(self._device.name, self.acquirer, self._skipped, self._heard_at)

    def describe(self, source: str) -> dict[str, Any]:
        """What `read` reads, with units."""
        if self.acquirer is None:
            return {}
        return describe_settings(self._device.name, self.acquirer, self._skipped, source)

    @property
    def _skipped(self) -> frozenset[str]:
        return frozenset(self._device.component_names)

    def _signals(self) -> Sequence[SettingSignal]:
        signals = (getattr(self._device, name) for name in self._device.component_names)
        return [signal for signal in signals if isinstance(signal, SettingSignal)]
