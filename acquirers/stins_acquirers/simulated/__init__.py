"""A simulated detector: diffraction frames as fast as anybody takes them, and faults on request."""

from .backend import SimulatedBackend
from .settings import Fault, SimulatedSettings

__all__ = ["Fault", "SimulatedBackend", "SimulatedSettings"]
