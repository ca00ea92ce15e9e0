"""A beamline: its file, the processes that serve its detectors, and where they are while they run."""

from .addresses import find_controller
from .beamline import Beamline
from .config import BeamlineConfig, DetectorConfig, load_beamline
from .detector_processes import DetectorProcesses
from .run_file import RunFile, running_beamlines
from .simulators import SimulatorProcess
from .supervision import Supervision, supervise

__all__ = [
    "Beamline",
    "BeamlineConfig",
    "DetectorConfig",
    "DetectorProcesses",
    "RunFile",
    "SimulatorProcess",
    "Supervision",
    "find_controller",
    "load_beamline",
    "running_beamlines",
    "supervise",
]
