"""The catalogue of runs."""

from .embedded import RunWriter, open_catalog, record_runs

__all__ = ["RunWriter", "open_catalog", "record_runs"]
