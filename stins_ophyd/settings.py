"""The acquirer's settings as signals: what is set is written through, what is read is what the acquirer reports."""

from collections.abc import Mapping, Sequence
from reprlib import repr as short
from typing import Any

from ophyd import DeviceStatus, Kind, Signal

from stins import StinsError
from stins.control import AcquirerStatus

from .arguments import count_of
from .status import ProgressStatus, Worker

__all__ = ["ChoiceSignal", "CountSignal", "OwnSignal", "SettingSignal", "describe_settings", "read_settings"]


class OwnSignal(Signal):
    """A value that the device itself keeps."""

    @property
    def source_name(self) -> str:
        """Where documents say that it comes from."""
        return f"stins:{self.name}"

    def describe(self) -> dict[str, Any]:
        """ophyd takes a truth value for a number; the event model has a word of its own."""
        described: dict[str, Any] = super().describe()
        if isinstance(self._readback, bool):
            described[self.name]["dtype"] = "boolean"
        return described


class CountSignal(OwnSignal):
    """How many of something. What is no whole number of at least 1 is refused when it is set, and changes nothing."""

    def put(self, value: Any, **keywords: Any) -> None:
        """Keeps it.

        Raises:
            StinsError: it is no such number; the text names signal and value.
        """
        super().put(count_of(self.name, value), **keywords)


class ChoiceSignal(OwnSignal):
    """One of some words. What is none of them is refused when it is set, and changes nothing."""

    def __init__(self, *, choices: Sequence[str], **keywords: Any) -> None:
        super().__init__(**keywords)
        self._choices = tuple(choices)

    def put(self, value: Any, **keywords: Any) -> None:
        """Keeps it.

        Raises:
            StinsError: it is none of them; the text names signal, value and what it may be.
        """
        if value not in self._choices:
            raise StinsError(f"{self.name}: got {value!r}, expected one of {', '.join(self._choices)}")
        super().put(value, **keywords)


class SettingSignal(OwnSignal):
    """One setting, named as its attribute; left out of the readings while the acquirer has none of that name set."""

    def set(self, value: Any, **_: Any) -> DeviceStatus:
        """Sets it in the acquirer; the Status fails with what the acquirer refused, by name."""
        status = ProgressStatus(self.parent, target=1, what=f"set {self.attr_name} = {short(value)}")
        return Worker(f"{self.name}-set").run(status, lambda: self.put(value))

    def put(self, value: Any, **_: Any) -> None:
        """Sets it in the acquirer and returns once it has answered."""
        self.parent.apply({self.attr_name: value})

    def heard(self, status: AcquirerStatus) -> None:
        """Takes over what the acquirer reports."""
        # A document cannot describe what is not set.
        known = _dtype(status.settings.get(self.attr_name)) is not None
        self.kind = Kind.config if known else Kind.omitted
        if known:
            super().put(status.settings[self.attr_name], force=True)
            self._metadata["units"] = status.units.get(self.attr_name)

    def describe(self) -> dict[str, Any]:
        """With its unit, as the acquirer gives it."""
        described: dict[str, Any] = super().describe()
        if unit := self._metadata.get("units"):
            described[self.name]["units"] = unit
        return described


def read_settings(prefix: str, status: AcquirerStatus, skip: frozenset[str], timestamp: float) -> dict[str, Any]:
    """The readings of all settings that a document can hold, besides those in `skip`."""
    return {
        f"{prefix}_{name}": {"value": value, "timestamp": timestamp}
        for name, value in status.settings.items()
        if name not in skip and _dtype(value) is not None
    }


def describe_settings(prefix: str, status: AcquirerStatus, skip: frozenset[str], source: str) -> dict[str, Any]:
    """The data keys of `read_settings`, with units."""
    return {
        f"{prefix}_{name}": _data_key(value, f"{source}/{name}", status.units.get(name))
        for name, value in status.settings.items()
        if name not in skip and _dtype(value) is not None
    }


def _data_key(value: Any, source: str, unit: str | None) -> Mapping[str, Any]:
    shape = [len(value)] if isinstance(value, list) else []
    return {"source": source, "dtype": _dtype(value), "shape": shape} | ({"units": unit} if unit else {})


def _dtype(value: Any) -> str | None:
    """The event model's word for a value; None for one that a document cannot describe."""
    if isinstance(value, list):
        return "array" if value and all(isinstance(item, int | float) for item in value) else None
    words = {bool: "boolean", int: "integer", float: "number", str: "string"}
    return words.get(type(value))
