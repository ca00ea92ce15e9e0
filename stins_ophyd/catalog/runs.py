"""The client of a catalogue of runs that knows what is still being written."""

from collections.abc import Callable, Iterator
from typing import Any

from bluesky_tiled_plugins import CatalogOfBlueskyRuns

__all__ = ["RunsCatalog"]


class RunsCatalog(CatalogOfBlueskyRuns):
    """A catalogue of runs. Whoever looks for a run here waits, for a while, until what was recorded is written.

    The RunEngine does not wait for the catalogue, so `catalog[-1]` behind `RE(...)` has to.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.catch_up: Callable[[], object] = lambda: None

    def __getitem__(self, key: Any) -> Any:
        """A run, by its uid or its beginning, its scan_id, or -1 for the latest."""
        self.catch_up()
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[Any]:
        """The uids."""
        self.catch_up()
        return iter(super().__iter__())

    def __len__(self) -> int:
        """How many runs there are."""
        self.catch_up()
        return int(super().__len__())

    def keys(self) -> Any:
        """The uids."""
        self.catch_up()
        return super().keys()

    def values(self) -> Any:
        """The runs."""
        self.catch_up()
        return super().values()

    def items(self) -> Any:
        """The uids and the runs."""
        self.catch_up()
        return super().items()

    def search(self, query: Any) -> Any:
        """The catalogue of those runs that the query finds."""
        self.catch_up()
        return super().search(query)
