"""Meta data of a RunEngine that outlasts the session, so that scan numbers go on where they were."""

import json
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from stins import StinsError

__all__ = ["StoredMetadata"]


class StoredMetadata(MutableMapping[str, Any]):
    """A mapping that stands in a JSON file: `RunEngine(StoredMetadata(path))`. One session at a time.

    bluesky's own PersistentDict needs zict, and a folder of binary files where one that people can read does.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._values: dict[str, Any] = self._load()

    def __getitem__(self, key: str) -> Any:
        """The value."""
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        """Sets it, here and in the file. A value that JSON has not is refused and changes nothing."""
        self._keep({**self._values, key: value}, key)

    def __delitem__(self, key: str) -> None:
        """Removes it, here and in the file."""
        values = dict(self._values)
        del values[key]
        self._keep(values, key)

    def __iter__(self) -> Iterator[str]:
        """The keys."""
        return iter(self._values)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._path)!r}): {self._values}"

    def _load(self) -> dict[str, Any]:
        if not self._path.exists():
            return {}
        try:
            values = json.loads(self._path.read_text())
        except json.JSONDecodeError as error:
            raise StinsError(f"{self._path}: {error}; mend it, or remove it to begin anew with scan 1") from error
        if not isinstance(values, dict):
            raise StinsError(f"{self._path}: got {type(values).__name__}, expected an object")
        return values

    def _keep(self, values: dict[str, Any], key: str) -> None:
        try:
            content = json.dumps(values, indent=2)
        except (TypeError, ValueError) as error:
            raise StinsError(f"{key}: got {values.get(key)!r}, expected what JSON can hold: {error}") from error
        new = self._path.with_suffix(".new")
        new.write_text(content)
        new.replace(self._path)  # whole, or as it was
        self._values = values
