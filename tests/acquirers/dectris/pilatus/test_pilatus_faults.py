"""What goes wrong: each ends in FAULT with its reason and what to do, and the next series works."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stins_acquirers.conformance import arm_request, read_frames
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
    assert "acquire: it has closed the connection; was camserver ended, " in acquirer.reason()
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
    "no image comes": (Fault(kind="lose_image", image=0), "_000000.cbf did not appear within 1 s", []),
}


@pytest.mark.parametrize(("fault", "reason", "frames"), BROKEN.values(), ids=BROKEN)
def test_the_images_that_there_are_are_sent_before_the_fault(
    acquirer: Acquirer, camserver: Simulator, fault: Fault, reason: str, frames: list[int]
) -> None:
    camserver.add_fault(fault)
    acquirer.begin(5 if frames else 1)
    assert reason in acquirer.reason()
    numbers, end = acquirer.outcome()
    assert (numbers, end.result.end.status) == (frames, "failed")
    camserver.clear_faults()
    assert acquirer.works()


LOST = {
    "the first never comes": (Fault(kind="lose_image", image=0), "_000000.cbf did not appear within 1 s", 0),
    "one never comes": (Fault(kind="lose_image", image=2), "_000002.cbf did not appear within 1 s", 2),
    "the last never comes": (Fault(kind="lose_image", image=4), "_000004.cbf did not appear within 1 s", 4),
    "one is half there": (Fault(kind="cut_image", image=1), "_000001.cbf is damaged: got ", 1),
}


@pytest.mark.parametrize(("fault", "reason", "lost"), LOST.values(), ids=LOST)
def test_an_image_that_never_comes_is_missing_with_its_reason_and_all_others_are_recorded(
    acquirer: Acquirer, camserver: Simulator, fault: Fault, reason: str, lost: int
) -> None:
    camserver.add_fault(fault)
    acquirer.begin(5)
    numbers, end = acquirer.outcome()
    assert numbers == [number for number in range(5) if number != lost]
    assert (end.result.end.status, end.result.missing) == ("failed", ((lost, lost),))
    assert reason in end.result.end.reason
    # Nothing is wrong with the detector: it is ready for the next series.
    acquirer.running.until_state(IDLE)
    camserver.clear_faults()
    assert acquirer.works()


def test_triggers_behind_one_whose_image_never_came_are_taken_still(acquirer: Acquirer, camserver: Simulator) -> None:
    service = acquirer.service
    service.configure({"image_timeout_s": 0.5})
    service.arm(ArmRequest(series_id="s", trigger_mode="software", frames_per_trigger=2, triggers=3))
    for start in range(3):
        if start == 1:
            camserver.add_fault(Fault(kind="lose_image", image=1, times=1))
        service.trigger(TriggerRequest())
        acquirer.running.until_state(AcquirerState.ARMED if start < 2 else IDLE)
    numbers, end = acquirer.outcome()
    assert (numbers, end.result.missing) == ([0, 1, 2, 4, 5], ((3, 3),))
    assert end.result.end.reason.count("did not appear within 0.5 s") == 1


def test_an_image_that_never_came_and_is_taken_again_is_not_missing(acquirer: Acquirer, camserver: Simulator) -> None:
    service = acquirer.service
    service.configure({"image_timeout_s": 0.5})
    service.arm(ArmRequest(series_id="s", trigger_mode="software", frames_per_trigger=2, triggers=None))
    camserver.add_fault(Fault(kind="lose_image", image=1, times=1))
    service.trigger(TriggerRequest())
    acquirer.running.until_state(AcquirerState.ARMED)
    service.trigger(TriggerRequest(first_frame=0))
    acquirer.running.until_state(AcquirerState.ARMED)
    service.disarm()
    numbers, end = acquirer.outcome()
    assert (numbers, end.result.missing) == ([0, 0, 1], ())
    assert end.result.end.status == "finished"


def test_a_series_that_is_disarmed_gives_what_is_in_the_folder_behind_a_lost_image(
    make: Make, camserver: Simulator, run: Callable[..., Acquirer], tmp_path: Path
) -> None:
    acquirer = run(make(camserver, exposure_s=0.01))
    camserver.add_fault(Fault(kind="lose_image", image=1))
    acquirer.begin(100_000)
    deadline = time.monotonic() + DEADLINE_S
    while len(list((tmp_path / "ramdisk").iterdir())) < 20:
        assert time.monotonic() < deadline
    acquirer.service.disarm()
    numbers, end = acquirer.outcome()
    assert numbers == [0, *range(2, len(numbers) + 1)]
    assert len(numbers) > 20
    assert "_000001.cbf did not appear within 1 s" in end.result.end.reason
    assert end.result.missing[0] == (1, 1)


def test_a_lost_image_is_known_only_once_the_next_is_due(
    make: Make, camserver: Simulator, run: Callable[..., Acquirer]
) -> None:
    acquirer = run(make(camserver, period_s=0.8, image_timeout_s=0.6))
    camserver.add_fault(Fault(kind="lose_image", image=1))
    acquirer.begin(3)
    numbers, end = acquirer.outcome()
    assert (numbers, end.result.missing) == ([0, 2], ((1, 1),))


def test_a_lost_image_of_a_cable_does_not_hold_up_those_behind_it(make: Make, camserver: Simulator) -> None:
    backend = make(camserver, image_timeout_s=0.1)
    camserver.add_fault(Fault(kind="lose_image", image=1))
    backend.arm(arm_request("external", frames=1, triggers=4))
    assert camserver.trigger(3) == 3
    frames, deadline = [], time.monotonic() + DEADLINE_S
    while len(frames) < 2:
        assert time.monotonic() < deadline
        frames += backend.read(0.1)
    assert [(frame.number, frame.frames_dropped) for frame in frames] == [(0, ()), (2, ((1, 1),))]
    assert camserver.trigger() == 1
    assert [frame.number for frame in read_frames(backend)] == [3]


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
