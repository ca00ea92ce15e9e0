"""The catalogue of runs."""

from .broker import open_broker
from .embedded import open_catalog
from .leftovers import Resent, resend_runs
from .served import ServedCatalog, connect_catalog
from .writer import RunWriter, record_runs

__all__ = [
    "Resent",
    "RunWriter",
    "ServedCatalog",
    "connect_catalog",
    "open_broker",
    "open_catalog",
    "record_runs",
    "resend_runs",
]
