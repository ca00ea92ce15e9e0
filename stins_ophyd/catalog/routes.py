"""Which run a document belongs to."""

from collections.abc import Mapping
from typing import Any

__all__ = ["Routes"]

#: Where a document names what it belongs to. Start documents name nothing, the others their run.
_PARENT = {
    "event": "descriptor",
    "event_page": "descriptor",
    "stream_datum": "descriptor",
    "datum": "resource",
    "datum_page": "resource",
}


class Routes:
    """The run of each document, of several runs that may go on at once."""

    def __init__(self) -> None:
        self._runs: dict[str, str] = {}

    def run_of(self, name: str, doc: Mapping[str, Any]) -> str:
        """The uid of its run.

        Raises:
            KeyError: it belongs to nothing that was here before.
        """
        if name == "start":
            run = str(doc["uid"])
        elif name in _PARENT:
            return self._runs[doc[_PARENT[name]]]
        else:
            run = self._runs[doc["run_start"]]
        self._runs[str(doc["uid"])] = run
        return run

    def forget(self, run: str) -> None:
        """That run is over."""
        self._runs = {uid: of for uid, of in self._runs.items() if of != run}
