"""A PILATUS that isn't there: camserver over TCP, and a folder in which its images appear."""

from .faults import Fault
from .options import PilatusOptions
from .simulator import Simulator

__all__ = ["Fault", "PilatusOptions", "Simulator"]
