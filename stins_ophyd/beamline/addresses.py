"""From where a detector's processes are to the controller that drives them."""

from collections.abc import Mapping

from stins import StinsError

from ..controller import Controller, deadlines_of
from .run_file import RunFile

__all__ = ["controller_at", "find_controller"]


def controller_at(addresses: Mapping[str, str], backend: str) -> Controller:
    """A controller of the detector whose acquirer and recorders these are."""
    recorders = [url for key, url in addresses.items() if key != "acquirer"]
    return Controller(addresses["acquirer"], recorders, deadlines=deadlines_of(backend))


def find_controller(beamline: str, detector: str) -> Controller:
    """A controller of a detector of a beamline that `stins up` runs.

    Raises:
        StinsError: no such beamline runs here, it is just being started, or it has no such detector; the text lists
            those there are.
    """
    run_file = RunFile(beamline)
    run_file.check_started()
    detectors = run_file.read()
    if detector not in detectors:
        raise StinsError(f"beamline {beamline!r} has no detector {detector!r}; there are: {', '.join(detectors)}")
    return controller_at(detectors[detector], run_file.backend(detector))
