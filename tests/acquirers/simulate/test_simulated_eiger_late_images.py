"""An image that is on its way to be sent when another thread ends its series."""

from stins_acquirers.simulate.eiger.detector import Detector
from stins_acquirers.simulate.eiger.faults import Fault, FaultKind, Faults
from stins_acquirers.simulate.eiger.monitor import Monitor
from stins_acquirers.simulate.eiger.options import EigerOptions
from stins_acquirers.simulate.eiger.orders import Abort, Begin, End, Order
from stins_acquirers.simulate.eiger.settings import Settings


def obey(order: Order) -> None:
    """A readout that takes no image."""
    if isinstance(order, Begin | Abort | End):
        order.done.set()


def detector_with(kind: FaultKind) -> Detector:
    """It has that fault at its image 9, in one series."""
    options = EigerOptions(model="eiger2-1m", shape=(8, 8), pool=1, initialize_s=0.0, arm_s=0.0)
    settings, faults = Settings(options), Faults(())
    faults.add(Fault(kind=kind, image=9, times=1))
    detector = Detector(options, settings, faults, Monitor(settings), obey)
    detector.initialize()
    return detector


def test_it_is_no_image_of_the_next_series() -> None:
    detector = detector_with("drop_images")
    for _ in range(2):
        detector.arm()
        detector.abort()
        assert not detector.lets_pass(9)
    detector.arm()
    assert not detector.lets_pass(9), "the fault was used up by series that had no image"
    detector.abort()
    detector.arm()
    assert detector.lets_pass(9)


def test_it_restarts_nothing() -> None:
    detector = detector_with("restart")
    detector.arm()
    detector.abort()
    assert not detector.lets_pass(9)
    assert detector.lives == 1
