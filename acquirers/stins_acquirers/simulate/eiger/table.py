"""A module's `config` or `status`: its keys, their values, and what a PUT changes."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .keys import Key, RefusedError, Value

__all__ = ["Table"]

Settle = Callable[[dict[str, Value], str], dict[str, Value]]


class Table:
    """Values by key. `settle` makes dependent keys follow; `may_change` names them for the reply."""

    def __init__(
        self,
        where: str,
        keys: Iterable[Key],
        settle: Settle | None = None,
        may_change: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._where = where
        self._keys = {key.name: key for key in keys}
        self._settle = settle or (lambda values, _changed: values)
        self._may_change = may_change or {}
        self.values = {name: key.value for name, key in self._keys.items()}

    def names(self) -> list[str]:
        """The names of all keys, in order."""
        return sorted(self._keys)

    def __contains__(self, name: str) -> bool:
        return name in self._keys

    def key(self, name: str) -> Key:
        """The key of that name; raises `RefusedError` (404)."""
        try:
            return self._keys[name]
        except KeyError:
            raise RefusedError(f"{self._where}/{name}: no such parameter", 404) from None

    def reply(self, name: str) -> dict[str, Any]:
        """What a GET is answered with."""
        return self.key(name).reply(self.values[name])

    def put(self, name: str, value: Value) -> list[str]:
        """Sets a key; the names of all keys that changed or may have. Raises `RefusedError`, changing nothing."""
        self.key(name).check(value)
        settled = self._settle({**self.values, name: value}, name)
        changed = {key for key in self._keys if settled[key] != self.values[key]}
        changed |= {key for key in self._may_change.get(name, ()) if key in self._keys}
        self.values = settled
        return sorted({name, *changed})

    def put_all(self, values: Mapping[str, Value]) -> list[str]:
        """Sets several keys, all or none of them."""
        before = self.values
        changed: set[str] = set()
        try:
            for name, value in values.items():
                changed |= set(self.put(name, value))
        except RefusedError:
            self.values = before
            raise
        return sorted(changed)

    def reset(self) -> None:
        """All keys as they were at first."""
        self.values = {name: key.value for name, key in self._keys.items()}
