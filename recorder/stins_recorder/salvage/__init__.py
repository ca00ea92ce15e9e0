"""`stins salvage`: makes the file of a dead recorder whole."""

from .evidence import files_left
from .process import Found, Salvaged, run_salvage

__all__ = ["Found", "Salvaged", "files_left", "run_salvage"]
