"""Which device a detector is, by what drives it."""

from typing import Any, Final, Literal

from .beamline import RunFile, find_controller
from .controller import Controller
from .dectris import EigerDetector, PilatusDetector
from .device import StinsDetector
from .resource_docs import with_resource_documents

__all__ = ["find_detector", "make_detector"]

#: A facility's own backend, and everything else, is a StinsDetector: its settings stand in the configuration anyway.
_CLASSES: Final[dict[str, type[StinsDetector]]] = {each.backend: each for each in (EigerDetector, PilatusDetector)}


def make_detector(
    name: str, controller: Controller, *, docs: Literal["stream", "resource"] = "stream", **keywords: Any
) -> StinsDetector:
    """The device for the backend of the controller's acquirer; keywords are those of `StinsDetector`.

    With `docs="resource"` its events say where their images are by Resource and Datum, for tools that know no stream
    documents (`databroker.handlers` reads them); such a detector takes points, and does not fly.

    Raises:
        ControllerError: acquirer or recorder isn't there.
    """
    acquirer = controller.connect().acquirer
    kind = _CLASSES.get(acquirer.backend if acquirer else "", StinsDetector)
    if docs == "resource":
        kind = with_resource_documents(kind)
    return kind(name=name, controller=controller, **keywords)


def find_detector(beamline: str, detector: str, **keywords: Any) -> StinsDetector:
    """The device for a detector of a beamline that `stins up` runs, under its name there.

    Its frames have the numbers that the beamline file asks for, unless `numbers` is among the keywords, which are those
    of `StinsDetector`.

    Raises:
        StinsError: no such beamline runs here, it is just being started, or it has no such detector; the text lists
            those there are.
    """
    controller = find_controller(beamline, detector)
    return make_detector(detector, controller, **{"numbers": RunFile(beamline).numbers(detector), **keywords})
