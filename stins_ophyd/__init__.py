"""The controller of a STINS detector and its faces: ophyd devices, plans, a catalogue."""

from .beamline import Beamline, find_controller, load_beamline
from .catalog import open_catalog, record_runs
from .controller import CombinedState, Controller, ControllerError, Deadlines, Snapshot
from .device import StinsDetector
from .paths import PathInfo, PathProvider, StaticPathProvider
from .plans import fly_series
from .processes import DaemonProcess, ProcessError
from .status import ProgressStatus
from .trigger_info import TriggerInfo

__all__ = [
    "Beamline",
    "CombinedState",
    "Controller",
    "ControllerError",
    "DaemonProcess",
    "Deadlines",
    "PathInfo",
    "PathProvider",
    "ProcessError",
    "ProgressStatus",
    "Snapshot",
    "StaticPathProvider",
    "StinsDetector",
    "TriggerInfo",
    "find_controller",
    "fly_series",
    "load_beamline",
    "open_catalog",
    "record_runs",
]
