"""The client of a catalogue of runs that knows what is still being written."""

from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

from bluesky_tiled_plugins import CatalogOfBlueskyRuns
from bluesky_tiled_plugins.clients.bluesky_run import BlueskyRunV2, BlueskyRunV3

from stins import StinsError

__all__ = ["RunsCatalog", "as_runs"]


class RunsCatalog(CatalogOfBlueskyRuns):
    """A catalogue of runs. Whoever looks for a run here waits, for a while, until what was recorded is written.

    The RunEngine does not wait for the catalogue, so `catalog[-1]` behind `RE(...)` has to. `v1` and `v2` are the
    older faces of databroker; using them leaves this one as it is.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.catch_up: Callable[[], bool] = lambda: True
        #: Raises where there is nobody to ask any more.
        self.check: Callable[[], None] = lambda: None

    def _ready(self) -> bool:
        """Whether what was recorded is there, as far as it is waited for."""
        self.check()
        return self.catch_up()

    def __getitem__(self, key: Any) -> Any:
        """A run, by its uid or its beginning, its scan_id, or -1 for the latest.

        Raises:
            StinsError: the latest is asked for, and what was recorded is not all written; or the server is gone.
        """
        if not self._ready() and isinstance(key, int) and key < 0:
            raise StinsError(
                f"catalog[{key}]: the latest run here is not the latest that was taken: the catalogue is behind, or "
                "does not answer; ask for a run by its uid"
            )
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[Any]:
        """The uids."""
        self._ready()
        return iter(super().__iter__())

    def __len__(self) -> int:
        """How many runs there are."""
        self._ready()
        return int(super().__len__())

    def keys(self) -> Any:
        """The uids."""
        self._ready()
        return super().keys()

    def values(self) -> Any:
        """The runs."""
        self._ready()
        return super().values()

    def items(self) -> Any:
        """The uids and the runs."""
        self._ready()
        return super().items()

    def search(self, query: Any) -> Any:
        """The catalogue of those runs that the query finds."""
        self._ready()
        found: RunsCatalog = super().search(query)
        found.catch_up, found.check = self.catch_up, self.check
        return found

    @property
    def v1(self) -> Any:
        """Databroker's Broker."""
        from databroker.v1 import Broker

        return Broker(self.v2)

    @property
    def v2(self) -> "RunsCatalog":
        """The runs as databroker 1 had them."""
        return self._with_runs(BlueskyRunV2)

    @property
    def v3(self) -> "RunsCatalog":
        """The runs as they are here."""
        return self._with_runs(BlueskyRunV3)

    def _with_runs(self, kind: type) -> "RunsCatalog":
        clients = _own(self.structure_clients)
        clients.set("BlueskyRun", lambda: kind)
        other: RunsCatalog = self.new_variation(structure_clients=clients)
        other.catch_up, other.check = self.catch_up, self.check
        return other


def as_runs(client: Any) -> RunsCatalog:
    """That catalogue, as one that waits for what is being written."""
    return RunsCatalog(client.context, item=client.item, structure_clients=_own(client.structure_clients))


def _own(structure_clients: Any) -> Any:
    """Tiled's table of what a client makes of what it finds, for one client.

    A copy of it shares its content, with every client of the process: whoever looked at `v1` once changed all of them.
    """
    own = copy(structure_clients)
    own.__setstate__(dict(structure_clients.__getstate__()))
    return own
