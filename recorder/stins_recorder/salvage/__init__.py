"""`stins salvage`: makes the file of a dead recorder whole."""

from .process import Found, Salvaged, run_salvage

__all__ = ["Found", "Salvaged", "run_salvage"]
