"""Tiled's client of a server."""

from tiled.client import from_uri

from .runs import RunsCatalog, as_runs

__all__ = ["connect"]


def connect(uri: str, api_key: str | None) -> RunsCatalog:
    """The catalogue of runs there."""
    return as_runs(from_uri(uri, **({"api_key": api_key} if api_key else {})))
