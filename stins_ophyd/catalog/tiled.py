"""The parts of Tiled that are needed, imported when they are: that takes seconds."""

from functools import cache
from typing import Any

from stins import StinsError

__all__ = ["Tiled", "tiled"]


class Tiled:
    """What the catalogue uses of Tiled, and of what Bluesky adds to it.

    Raises:
        StinsError: something is not installed.
    """

    def __init__(self) -> None:
        try:
            from bluesky_tiled_plugins.exporters import json_seq_exporter
            from tiled.catalog import from_uri as catalog_from_uri
            from tiled.client import from_context, from_uri
            from tiled.client.context import Context
            from tiled.config import Authentication
            from tiled.media_type_registration import default_serialization_registry
            from tiled.server.app import build_app

            from .runs import RunsCatalog
        except ImportError as error:
            raise StinsError(
                f"the catalogue needs {error.name}; install it: pip install 'stins-ophyd[tiled]'"
            ) from error
        # Without it, run.documents() is refused by the server.
        default_serialization_registry.register("BlueskyRun", "application/json-seq", json_seq_exporter)
        self.catalog_from_uri, self.build_app, self.authentication = catalog_from_uri, build_app, Authentication
        self.context, self.from_context, self.from_uri = Context, from_context, from_uri
        self._runs_catalog = RunsCatalog

    def runs(self, client: Any) -> Any:
        """That client, as one that waits for what is being written."""
        return self._runs_catalog(client.context, item=client.item, structure_clients=client.structure_clients)


@cache
def tiled() -> Tiled:
    """Tiled, imported at the first call."""
    return Tiled()
