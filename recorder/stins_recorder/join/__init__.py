"""The parts of a shared series, one from each recorder, as one file."""

from .master import join_parts
from .process import run_join

__all__ = ["join_parts", "run_join"]
