"""Behind the acquirer's loop: when images are deleted, and what becomes of them when nobody takes frames."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stins_acquirers.dectris.pilatus import PilatusBackend
from stins_acquirers.simulate.camserver import Simulator

from stins import EndSeries, Outcome, StoreFrame
from stins.control import AcquirerState, ArmRequest, TriggerRequest

DEADLINE_S = 30.0

Make = Callable[..., PilatusBackend]
Started = Callable[..., Any]


def images(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "ramdisk").iterdir())


def wait_until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not met():
        assert time.monotonic() < deadline


def wait_until_deleted(tmp_path: Path) -> None:
    wait_until(lambda: not images(tmp_path))


def begin(running: Any, frames: int, **request: Any) -> None:
    running.service.arm(ArmRequest(series_id="s", triggers=frames, **request))
    if request.get("trigger_mode") != "external":
        running.service.trigger(TriggerRequest())


@pytest.fixture(params=["cbf", "bslz4"])
def backend(request: pytest.FixtureRequest, make: Make, camserver: Simulator) -> PilatusBackend:
    return make(camserver, compression=request.param)


def test_images_are_deleted_when_the_recorder_has_acked_them(
    backend: PilatusBackend, start: Started, consume: Started, tmp_path: Path
) -> None:
    running = start(backend, acks="tcp://127.0.0.1:0")
    consumer = consume(running.publisher.endpoint, acks=running.publisher.acks)
    begin(running, 4)
    consumer.until(EndSeries)
    running.until_state(AcquirerState.IDLE)
    assert [name[-10:] for name in images(tmp_path)] == [f"{frame:06d}.cbf" for frame in range(4)]
    consumer.ack()
    wait_until_deleted(tmp_path)


def test_images_are_deleted_when_they_are_sent_to_a_recorder_that_does_not_ack(
    make: Make, camserver: Simulator, start: Started, consume: Started, tmp_path: Path
) -> None:
    running = start(make(camserver))
    consumer = consume(running.publisher.endpoint)
    begin(running, 4)
    assert consumer.series()[2].result.outcome is Outcome.COMPLETE
    wait_until_deleted(tmp_path)


def test_frames_that_find_no_room_wait_in_the_folder_and_none_is_dropped(
    make: Make, camserver: Simulator, start: Started, consume: Started
) -> None:
    """The ring holds one frame; each ack makes room for the next."""
    running = start(make(camserver), acks="tcp://127.0.0.1:0", ring_bytes=1, peer_timeout_s=2.0)
    consumer = consume(running.publisher.endpoint, acks=running.publisher.acks)
    begin(running, 20)
    for _ in range(20):
        consumer.until(StoreFrame)
        consumer.ack()
    ended = consumer.until(EndSeries)[-1]
    assert ended.result.outcome is Outcome.COMPLETE
    assert running.status.frames_dropped == 0
    consumer.ack()


def test_frames_that_nobody_takes_for_long_are_a_fault_and_their_images_stay(
    make: Make, camserver: Simulator, start: Started, consume: Started, tmp_path: Path
) -> None:
    running = start(make(camserver), acks="tcp://127.0.0.1:0", ring_bytes=1, peer_timeout_s=2.0)
    consumer = consume(running.publisher.endpoint, acks=running.publisher.acks)
    begin(running, 6)
    consumer.until(StoreFrame)
    wait_until(lambda: len(images(tmp_path)) == 6)
    assert "no recorder took frame 1 from" in running.until_state(AcquirerState.FAULT).reason
    assert [name[-10:] for name in images(tmp_path)] == [f"{frame:06d}.cbf" for frame in range(6)]
    running.service.configure({"leftovers": "delete"})
    consumer.until(EndSeries)
    consumer.ack()
    begin(running, 1)
    consumer.until(StoreFrame)
    consumer.ack()
    consumer.until(EndSeries)
    consumer.ack()
    wait_until_deleted(tmp_path)


def test_pulses_of_a_cable_reach_a_receiver(make: Make, camserver: Simulator, start: Started, consume: Started) -> None:
    running = start(make(camserver))
    consumer = consume(running.publisher.endpoint)
    begin(running, 3, trigger_mode="external")
    assert camserver.trigger(3) == 3
    assert len(consumer.series()[1]) == 3
    assert running.until_state(AcquirerState.IDLE).frames_sent == 3


def test_an_acquirer_that_stops_lets_the_detector_go(
    make: Make, camserver: Simulator, start: Started, consume: Started
) -> None:
    running = start(make(camserver, exposure_s=3600))
    consumer = consume(running.publisher.endpoint)
    begin(running, 3)
    running.service.stop()
    result = consumer.series()[2].result
    assert (result.end.status, result.missing) == ("aborted", ((0, 2),))
    assert any("the acquirer was stopped" in reason for reason in result.reasons)
    running.stop()  # its connection to camserver is closed behind the end of the series
    assert len(make(camserver).arm(ArmRequest(series_id="next")).header.data) == 1
