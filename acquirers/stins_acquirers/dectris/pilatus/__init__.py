"""PILATUS2 and PILATUS3: camserver over TCP, and the folder in which their images appear."""

from .backend import PilatusBackend
from .settings import PilatusSettings

__all__ = ["PilatusBackend", "PilatusSettings"]
