"""A key of SIMPLON's interface: its value, and what may be its value."""

from typing import Any

import msgspec

from ..backend import BackendError

__all__ = ["Parameter"]

_INTEGERS = ("uint", "int")
#: What is read back may differ from what was set by rounding: the detectors' times are multiples of 20 ns.
_RELATIVE, _ABSOLUTE = 1e-6, 2e-8


class Parameter(msgspec.Struct, frozen=True):
    """What a GET says of a key; what doesn't apply to it is absent."""

    value: Any = None
    value_type: str = ""
    access_mode: str = "rw"
    min: float | None = None
    max: float | None = None
    unit: str | None = None
    allowed_values: tuple[Any, ...] | None = None

    @property
    def expected(self) -> str:
        """What may stand under the key, for an error."""
        unit = f" {self.unit}" if self.unit else ""
        if self.allowed_values:
            return f"one of {', '.join(map(str, self.allowed_values))}"
        if self.min is not None and self.max is not None:
            return f"{self.min:g} to {self.max:g}{unit}"
        if self.min is not None:
            return f"at least {self.min:g}{unit}"
        return f"at most {self.max:g}{unit}" if self.max is not None else f"a value of type {self.value_type}{unit}"

    def wire(self, name: str, value: Any) -> Any:
        """The value in the key's own JSON type (a float key refuses an integer).

        Raises `BackendError` with what is allowed, for a value that the detector would refuse.
        """
        try:
            typed = self._typed(value)
        except (TypeError, ValueError):
            raise BackendError(f"{name}: got {value!r}, expected {self.expected}") from None
        if self.access_mode == "r":
            raise BackendError(f"{name}: got {value!r}, but this detector doesn't let it be set; it is {self.value!r}")
        if self.allowed_values and typed not in self.allowed_values:
            raise BackendError(f"{name}: got {value!r}, expected {self.expected}")
        if (self.min is not None and typed < self.min) or (self.max is not None and typed > self.max):
            raise BackendError(f"{name}: got {value!r}, expected {self.expected}")
        return typed

    def is_set_to(self, value: Any) -> bool:
        """Whether the key has that value, rounding aside."""
        ours = self.value
        if isinstance(ours, bool) or isinstance(value, bool) or not isinstance(value, int | float):
            return bool(ours == value)
        if not isinstance(ours, int | float):
            return False
        return abs(ours - value) <= max(_RELATIVE * max(abs(ours), abs(value)), _ABSOLUTE)

    def _typed(self, value: Any) -> Any:
        if self.value_type == "float":
            return float(value)
        if self.value_type in _INTEGERS:
            if isinstance(value, bool) or int(value) != value:
                raise ValueError(value)
            return int(value)
        if (self.value_type == "bool") is not isinstance(value, bool):
            raise TypeError(value)
        return value
