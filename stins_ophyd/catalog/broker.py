"""databroker on top of a catalogue."""

from typing import Any

from .tiled import with_tiled

__all__ = ["open_broker"]


def open_broker(catalog: Any) -> Any:
    """databroker's Broker of a catalogue, for programs of its time: `db[-1].table()`, `db(plan_name="scan")`.

    It has a client of its own: the catalogue that is given stays what it is.

    Raises:
        StinsError: databroker is not installed.
    """
    with_tiled("databroker", "databroker")
    runs = with_tiled("runs")
    own = runs.as_runs(catalog)
    own.catch_up = getattr(catalog, "catch_up", own.catch_up)
    return own.v1
