"""The acquirer's settings as the configuration of a device: what it has said last, and what it is told."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from reprlib import repr as short
from typing import Any

from ophyd import Device

from stins import StinsError
from stins.control import AcquirerStatus

from .controller import Controller
from .naming import named
from .settings import OwnSignal, SettingSignal, describe_settings, read_settings

__all__ = ["Configuration"]

log = logging.getLogger(__name__)


class Configuration:
    """Hands what is heard on to the signals of `device` that are settings, and keeps the rest.

    `acquirer` is None until something was heard.
    """

    def __init__(self, device: Device, controller: Controller) -> None:
        self._device = device
        self._controller = controller
        self._heard_at = time.time()
        self._kept: Mapping[str, Any] = {}
        self.acquirer: AcquirerStatus | None = None

    # -- what it has said -----------------------------------------------------------------------

    def ask(self) -> AcquirerStatus:
        """What the acquirer says now."""
        return self._hear(self._controller.read_acquirer())

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

    def _hear(self, status: AcquirerStatus) -> AcquirerStatus:
        self.acquirer, self._heard_at = status, time.time()
        for signal in self._signals():
            signal.heard(status)
        return status

    @property
    def _skipped(self) -> frozenset[str]:
        return frozenset(self._device.component_names)

    def _signals(self) -> Sequence[SettingSignal]:
        signals = (getattr(self._device, name) for name in self._device.component_names)
        return [signal for signal in signals if isinstance(signal, SettingSignal)]

    # -- what it is told ------------------------------------------------------------------------

    def apply(self, changes: Mapping[str, Any]) -> None:
        """Sets some of the settings, all or none.

        Raises:
            StinsError: one is not finite, the acquirer refuses one, or does not answer; the text names detector,
                settings and values.
        """
        # In JSON it would be null, which leaves what is set, or puts it back.
        if (found := next(_not_finite(changes), None)) is not None:
            where, value = found
            raise StinsError(f"{self._device.name}: set {where}: got {value}, expected a finite number")
        asked = ", ".join(f"{name} = {short(value)}" for name, value in changes.items())
        with named(self._device.name, f"set {asked}"):
            status = self._controller.configure(changes)
        self._hear(status)

    def settings_among(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the changes that are the acquirer's; it is asked, unless all are the device's own.

        Raises:
            StinsError: it does not answer.
        """
        # What is the device's own can be set also while the acquirer is away.
        if changes and all(self._is_own(name) for name in changes):
            return {}
        with named(self._device.name, "read what is set"):
            known = self.ask().settings
        return {name: value for name, value in changes.items() if name in known}

    def _is_own(self, name: str) -> bool:
        signal = getattr(self._device, name) if name in self._device.component_names else None
        return isinstance(signal, OwnSignal) and not isinstance(signal, SettingSignal)

    def keep(self, settings: Mapping[str, Any]) -> None:
        """These are to be put back."""
        self._kept = settings

    def put_back(self) -> None:
        """Sets again what was kept, where it is another now; what is in the way is logged."""
        kept, self._kept = self._kept, {}
        now = self.acquirer.settings if self.acquirer else {}
        if changes := {name: value for name, value in kept.items() if now.get(name) != value}:
            try:
                self.apply(changes)
            except StinsError as error:
                log.warning("settings could not be put back: %s", error)


def _not_finite(value: object, where: str = "") -> Iterator[tuple[str, float]]:
    """Each number that is none, however deep in lists and mappings, and where: `faults.0.seconds`."""
    # As the client makes JSON of what plans make of numpy.
    value = getattr(value, "tolist", lambda: value)()
    if isinstance(value, float) and not isfinite(value):
        yield where, value
    parts: Iterable[tuple[object, object]] = ()
    if isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    for name, part in parts:
        yield from _not_finite(part, f"{where}.{name}" if where else str(name))
