"""The parts of a simulator that requests have to do with."""

import msgspec

from .detector import Detector
from .faults import Faults
from .monitor import Monitor
from .readout import Readout
from .settings import Settings

__all__ = ["Parts"]


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """One of each; `api` is the version of the interface."""

    api: str
    settings: Settings
    faults: Faults
    monitor: Monitor
    detector: Detector
    readout: Readout
