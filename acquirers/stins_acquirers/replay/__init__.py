"""A captured stream as a detector."""

from .backend import ReplayBackend
from .settings import ReplaySettings

__all__ = ["ReplayBackend", "ReplaySettings"]
