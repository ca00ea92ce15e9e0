"""The catalogue of runs."""

from .embedded import open_catalog
from .writer import RunWriter, record_runs

__all__ = ["RunWriter", "open_catalog", "record_runs"]
