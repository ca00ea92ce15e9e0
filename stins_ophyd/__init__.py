"""The controller of a STINS detector and its faces: ophyd devices, plans, a catalogue.

Names are loaded when they are first used: ophyd and bluesky take seconds to import, and `stins status` or a program
that only needs the controller has no use for them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .beamline import Beamline, find_controller, load_beamline
    from .catalog import RunWriter, ServedCatalog, connect_catalog, open_broker, open_catalog, record_runs, resend_runs
    from .controller import CombinedState, Controller, ControllerError, Deadlines, Snapshot
    from .dectris import EigerDetector, PilatusDetector
    from .detectors import find_detector, make_detector
    from .device import StinsDetector
    from .metadata import StoredMetadata
    from .path_template import TemplatePathProvider
    from .paths import PathInfo, PathProvider, StaticPathProvider
    from .plans import count_series, dark_series, flat_series, fly_scan, fly_series, take_live
    from .processes import DaemonProcess, ProcessError
    from .pulsing_axis import AxisFlight, PulsingAxis
    from .session import Session, open_session
    from .status import ProgressStatus
    from .trigger_info import DetectorTrigger, TriggerInfo

__all__ = [
    "AxisFlight",
    "Beamline",
    "CombinedState",
    "Controller",
    "ControllerError",
    "DaemonProcess",
    "Deadlines",
    "DetectorTrigger",
    "EigerDetector",
    "PathInfo",
    "PathProvider",
    "PilatusDetector",
    "ProcessError",
    "ProgressStatus",
    "PulsingAxis",
    "RunWriter",
    "ServedCatalog",
    "Session",
    "Snapshot",
    "StaticPathProvider",
    "StinsDetector",
    "StoredMetadata",
    "TemplatePathProvider",
    "TriggerInfo",
    "connect_catalog",
    "count_series",
    "dark_series",
    "find_controller",
    "find_detector",
    "flat_series",
    "fly_scan",
    "fly_series",
    "load_beamline",
    "make_detector",
    "open_broker",
    "open_catalog",
    "open_session",
    "record_runs",
    "resend_runs",
    "take_live",
]

#: The module of each public name: one name a line, in order.
_HOME = {
    "AxisFlight": "pulsing_axis",
    "Beamline": "beamline",
    "CombinedState": "controller",
    "Controller": "controller",
    "ControllerError": "controller",
    "DaemonProcess": "processes",
    "Deadlines": "controller",
    "DetectorTrigger": "trigger_info",
    "EigerDetector": "dectris",
    "PathInfo": "paths",
    "PathProvider": "paths",
    "PilatusDetector": "dectris",
    "ProcessError": "processes",
    "ProgressStatus": "status",
    "PulsingAxis": "pulsing_axis",
    "RunWriter": "catalog",
    "ServedCatalog": "catalog",
    "Session": "session",
    "Snapshot": "controller",
    "StaticPathProvider": "paths",
    "StinsDetector": "device",
    "StoredMetadata": "metadata",
    "TemplatePathProvider": "path_template",
    "TriggerInfo": "trigger_info",
    "connect_catalog": "catalog",
    "count_series": "plans",
    "dark_series": "plans",
    "find_controller": "beamline",
    "find_detector": "detectors",
    "flat_series": "plans",
    "fly_scan": "plans",
    "fly_series": "plans",
    "load_beamline": "beamline",
    "make_detector": "detectors",
    "open_broker": "catalog",
    "open_catalog": "catalog",
    "open_session": "session",
    "record_runs": "catalog",
    "resend_runs": "catalog",
    "take_live": "plans",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
