"""Keys of the interface: what stands under one, what a value must be, and the reply that describes it."""

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from stins import StinsError

__all__ = ["Key", "RefusedError", "Value"]

#: What SIMPLON's keys hold: a number, a text, a list of numbers; user data of stream v2 may be any JSON.
Value: TypeAlias = Any
Access = Literal["r", "rw", "w"]

_LISTS: Final[Mapping[str, type]] = {"float[]": float, "string[]": str}


class RefusedError(StinsError):
    """A request is answered with an error: `status` is HTTP's number, the text is the reply's body."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key of a module's `config` or `status`."""

    name: str
    value: Value
    value_type: str
    access: Access = "rw"
    minimum: float | None = None
    maximum: float | None = None
    unit: str | None = None
    allowed: tuple[str, ...] | None = None

    def check(self, value: Value) -> None:
        """Raises `RefusedError` unless the key may be given that value; the JSON type must be the very one."""
        if self.access == "r":
            raise RefusedError(f"{self.name}: the parameter is read-only", 403)
        if not _is_a(value, self.value_type):
            raise RefusedError(f"{self.name}: got {value!r}, expected a value of type {self.value_type}")
        if self.allowed is not None and value not in self.allowed:
            raise RefusedError(f"{self.name}: got {value!r}, expected one of {', '.join(self.allowed)}")
        if self.minimum is not None and value < self.minimum:
            raise RefusedError(f"{self.name}: got {value!r}, expected at least {self.minimum!r}")
        if self.maximum is not None and value > self.maximum:
            raise RefusedError(f"{self.name}: got {value!r}, expected at most {self.maximum!r}")

    def reply(self, value: Value) -> dict[str, Any]:
        """The JSON object that a GET is answered with: only what applies to the key, in alphabetical order."""
        described = {
            "access_mode": self.access,
            "allowed_values": list(self.allowed) if self.allowed is not None else None,
            "max": self.maximum,
            "min": self.minimum,
            "unit": self.unit,
        }
        found = {name: content for name, content in described.items() if content is not None}
        return dict(sorted({**found, "value": value, "value_type": self.value_type}.items()))


def _is_a(value: Value, value_type: str) -> bool:
    if value_type in _LISTS:
        return isinstance(value, list) and all(isinstance(item, _LISTS[value_type]) for item in value)
    match value_type:
        case "any":
            return True
        case "bool":
            return isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "float":
            return isinstance(value, float)
        case "uint":
            return isinstance(value, int) and not isinstance(value, bool) and value >= 0
        case _:
            return isinstance(value, int) and not isinstance(value, bool)
