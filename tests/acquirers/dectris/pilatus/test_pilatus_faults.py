"""What goes wrong: each ends in FAULT with its reason and what to do, and the next series works."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stins_acquirers.dectris.pilatus import PilatusBackend
from stins_acquirers.simulate.camserver import Fault, PilatusOptions, Simulator

from stins import EndSeries, StinsError, StoreFrame
from stins.control import AcquirerState, ArmRequest, TriggerRequest

FAULT, IDLE = AcquirerState.FAULT, AcquirerState.IDLE
#: Deadlines that a test can wait for; before the next series, which has to be whole, a busy machine's are set.
FAST: dict[str, Any] = {"answer_timeout_s": 1.0, "image_timeout_s": 1.0}
PATIENT: dict[str, Any] = {"image_timeout_s": 30.0}

DEADLINE_S = 30.0

Make = Callable[..., PilatusBackend]


class Acquirer:
    """A service, and what came of its series."""

    def __init__(self, running: Any, consume: Callable[..., Any]) -> None:
        self.running = running
        self.service = running.service
        self.consumer = consume(running.publisher.endpoint)
        self._series = 0

    def begin(self, frames: int = 5, **request: Any) -> None:
        self._series += 1
        arming = ArmRequest(series_id=f"s{self._series}", triggers=frames, **request)
        self.service.arm(arming)
        if arming.trigger_mode != "external":
            self.service.trigger(TriggerRequest())

    def outcome(self) -> tuple[list[int], EndSeries]:
        """The frames of the next series that ends, and its end."""
        _, frames, end = self.consumer.series()
        return [frame.header.frame_number for frame in frames], end

    def reason(self) -> str:
        """Why it is in FAULT, once it is."""
        return str(self.running.until_state(FAULT).reason)

    def works(self) -> bool:
        """Whether the next series does."""
        self.service.configure(PATIENT)
        self.begin(3)
        numbers, end = self.outcome()
        self.running.until_state(IDLE)
        return numbers == [0, 1, 2] and end.result.end is not None and end.result.end.status == "finished"


@pytest.fixture
def run(start: Callable[..., Any], consume: Callable[..., Any]) -> Callable[[PilatusBackend], Acquirer]:
    """Runs a backend as an acquirer, with a consumer of its frames."""
    return lambda backend: Acquirer(start(backend), consume)


@pytest.fixture
def acquirer(run: Callable[[PilatusBackend], Acquirer], make: Make, camserver: Simulator) -> Acquirer:
    return run(make(camserver, **FAST))


def test_camserver_is_not_there(make: Make, camserver: Simulator, run: Callable[..., Acquirer]) -> None:
    port = camserver.port
    camserver.stop()
    running = run(make(camserver, **FAST))
    with pytest.raises(StinsError, match=r"Connection refused; is camserver running there, and is the port right?"):
        running.begin()
    assert f"camserver at 127.0.0.1:{port}: arm: " in running.reason()
    with Simulator(PilatusOptions(folder=camserver_folder(running), shape=(20, 30), pool=1, port=port)):
        assert running.works()


def camserver_folder(acquirer: Acquirer) -> Path:
    return Path(acquirer.running.status.settings["folder"])


def test_camserver_is_gone_in_mid_series(acquirer: Acquirer, camserver: Simulator) -> None:
    camserver.add_fault(Fault(kind="gone", image=3, seconds=0.05, times=1))
    acquirer.begin(9)
    assert "acquire: it has closed the connection; is camserver running there" in acquirer.reason()
    numbers, end = acquirer.outcome()
    assert numbers == [0, 1, 2]
    assert end.result.end.status == "failed"
    wait_until_back(camserver)
    assert acquirer.works()


def wait_until_back(camserver: Simulator) -> None:
    deadline, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while not camserver.listening:
        assert time.monotonic() < deadline
        pause.wait(0.01)


def test_camserver_refuses_to_expose(acquirer: Acquirer, camserver: Simulator) -> None:
    camserver.add_fault(Fault(kind="refuse", command="exposure", times=1))
    with pytest.raises(StinsError, match=r"trigger: 'exposure stins_.*cbf': got '15 ERR ERROR: exposure failed'"):
        acquirer.begin()
    acquirer.service.abort()
    acquirer.outcome()
    assert acquirer.works()


def test_a_start_that_is_refused_as_a_series_would_end_is_told_at_once(
    make: Make, camserver: Simulator, run: Callable[..., Acquirer], tmp_path: Path
) -> None:
    backend = make(camserver, camserver_folder=str(tmp_path / "ramdisk" / "gone"))
    acquirer = run(backend)
    acquirer.service.arm(ArmRequest(series_id="s", triggers=1))
    (tmp_path / "ramdisk" / "gone").rmdir()
    with pytest.raises(StinsError, match=r"'exposure stins_.*cbf': got '7 ERR cannot write images to stins_.*cbf'"):
        acquirer.service.trigger(TriggerRequest())
    acquirer.service.abort()
    acquirer.outcome()
    backend.configure({"camserver_folder": None})
    assert acquirer.works()


def test_camserver_says_nothing(acquirer: Acquirer, camserver: Simulator) -> None:
    camserver.add_fault(Fault(kind="silence", command="nimages"))
    with pytest.raises(StinsError, match=r"'nimages 5': no answer within 1 s; look at its window, or restart it"):
        acquirer.begin()
    assert "no answer within 1 s" in acquirer.reason()
    acquirer.outcome()
    camserver.clear_faults()
    assert acquirer.works()


BROKEN = {
    "the exposures fail": (Fault(kind="fail", image=2), "the exposures ended with 'readout failed'; look at", [0, 1]),
    "there is no room": (Fault(kind="full", image=3), "No space left on device'; look at its window, and", [0, 1, 2]),
    "an image never comes": (Fault(kind="lose_image", image=2), "_000002.cbf did not appear within 1", [0, 1, 3, 4]),
    "the last never comes": (Fault(kind="lose_image", image=4), "is `folder` where camserver writes?", [0, 1, 2, 3]),
    "an image is half there": (Fault(kind="cut_image", image=1), "_000001.cbf is damaged: got ", [0, 2, 3, 4]),
}


@pytest.mark.parametrize(("fault", "reason", "frames"), BROKEN.values(), ids=BROKEN)
def test_the_images_that_there_are_are_sent_before_the_fault(
    acquirer: Acquirer, camserver: Simulator, fault: Fault, reason: str, frames: list[int]
) -> None:
    camserver.add_fault(fault)
    acquirer.begin(5)
    assert reason in acquirer.reason()
    numbers, end = acquirer.outcome()
    assert (numbers, end.result.end.status) == (frames, "failed")
    camserver.clear_faults()
    assert acquirer.works()


def test_an_image_that_never_came_is_declared_missing(acquirer: Acquirer, camserver: Simulator) -> None:
    camserver.add_fault(Fault(kind="lose_image", image=2))
    acquirer.begin(5)
    assert acquirer.outcome()[1].result.missing == ((2, 2),)


def test_a_folder_that_is_too_full_refuses_the_trigger(
    make: Make, camserver: Simulator, run: Callable[..., Acquirer]
) -> None:
    backend = make(camserver, **FAST, folder_reserve_bytes=1 << 60)
    running = run(backend)
    with pytest.raises(StinsError, match=r"ramdisk is full: .* Is the recorder fast enough"):
        running.begin()
    assert "is full" in running.reason()
    running.outcome()
    running.service.configure({"folder_reserve_bytes": 0})
    assert running.works()


def test_a_folder_that_fills_up_in_mid_series_ends_it(
    make: Make, camserver: Simulator, start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    """The recorder gets frames, and flushes none of them: every image stays."""
    backend = make(camserver, **FAST, exposure_s=0.01, folder_limit_bytes=40_000)
    running = start(backend, acks="tcp://127.0.0.1:0", peer_timeout_s=1.0)
    acquirer = Acquirer(running, lambda endpoint: consume(endpoint, acks=running.publisher.acks))
    acquirer.begin(100_000)
    acquirer.consumer.until(StoreFrame, 8)
    assert "is full: " in acquirer.reason()
    held = set(camserver_folder(acquirer).glob("*.cbf"))
    acquirer.consumer.until(EndSeries)
    sent = sum(isinstance(each, StoreFrame) for each in acquirer.consumer.instructions)
    assert sent == len(held) >= 8
    acquirer.consumer.ack()
    assert acquirer.works()


def test_a_folder_of_another_detector_is_a_fault(
    make: Make, camserver: Simulator, run: Callable[..., Acquirer], tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    running = run(make(camserver, **FAST, folder=tmp_path / "elsewhere", camserver_folder=str(tmp_path / "ramdisk")))
    running.begin(2)
    assert "_000000.cbf to stins_" in running.reason()
    running.outcome()
