"""What an acquirer keeps for a recorder that acks, and what it does when it can keep no more."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from stins import EndSeries, OpenSeries, Outcome, ReceiverCheckpoint, SeriesReceiver, StoreFrame
from stins.control import AcquirerState, ArmRequest, TriggerRequest

ANY = "tcp://127.0.0.1:0"
SIDE = 64
FRAME_BYTES = SIDE * SIDE * 2
#: A detector that does not wait, and a ring that holds some ten of its frames.
HURRIED: dict[str, Any] = {
    "acks": ANY,
    "ring_bytes": 10 * FRAME_BYTES,
    "shape": (SIDE, SIDE),
    "exposure_s": 0.001,
    "period_s": 0.002,
}


def series(frames: int) -> ArmRequest:
    return ArmRequest(series_id="s", frames_per_trigger=frames)


@pytest.fixture
def pair(start: Callable[..., Any], consume: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    """A service, and a consumer that it knows to ack."""

    def pair(**settings: Any) -> tuple[Any, Any]:
        det = start(**{"acks": ANY, **settings})
        consumer, deadline = consume(det.publisher.endpoint, acks=det.publisher.acks), time.monotonic() + 20
        while not det.publisher._acking():
            assert time.monotonic() < deadline, "no ack was heard"
            threading.Event().wait(0.01)
        return det, consumer

    return pair


@pytest.fixture
def acking() -> Iterator[Callable[[Any], None]]:
    """Has a consumer ack all that comes, from a thread of its own, until the test is over."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def run(consumer: Any) -> None:
        def body() -> None:
            while not over.wait(0.01):
                consumer.ack()

        threads.append(threading.Thread(target=body, name="acks"))
        threads[-1].start()

    yield run
    over.set()
    for thread in threads:
        thread.join(20)


def until_unacked(det: Any, count: int) -> Any:
    """The status, once so many messages are not acked."""
    return det.until(lambda status: status.unacked == count)


# -- who acks, and who does not ---------------------------------------------------------------------


def test_the_status_says_what_is_kept_for_a_recorder_that_acks(pair: Callable[..., Any]) -> None:
    det, consumer = pair()
    det.service.arm(series(3))
    det.service.trigger(TriggerRequest())
    consumer.series()
    kept = until_unacked(det, 5)
    assert (kept.replay, kept.acks, kept.unacked_bytes > 3 * 8 * 8 * 2) == (True, (det.publisher.acks,), True)

    consumer.ack()
    assert until_unacked(det, 0).unacked_bytes == 0


def test_the_status_says_that_replay_is_off_for_a_peer_that_never_acks(
    start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    det = start(acks=ANY)
    consumer = consume(det.publisher.endpoint)
    det.service.arm(series(3))
    det.service.trigger(TriggerRequest())
    _, frames, end = consumer.series()
    det.until_state(AcquirerState.IDLE)
    assert (len(frames), end.result.outcome) == (3, Outcome.COMPLETE)
    assert (det.status.replay, det.status.unacked) == (False, 0)


def test_a_recorder_that_dies_in_mid_series_and_comes_back_has_every_frame(
    pair: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    det, consumer = pair(shape=(SIDE, SIDE), exposure_s=0.001, period_s=0.004)
    det.service.arm(series(300))
    det.service.trigger(TriggerRequest())
    (opened,) = [done for done in consumer.until(OpenSeries) if isinstance(done, OpenSeries)]
    for life in range(1, 4):
        consumer.until(StoreFrame, 30)
        kept = msgspec.json.encode(consumer.machine.checkpoint())
        consumer.ack()
        consumer.until(StoreFrame, 20)
        consumer.close()
        machine = SeriesReceiver.resume(
            msgspec.json.decode(kept, type=ReceiverCheckpoint), opened.start, time.monotonic(), replay=True
        )
        consumer = consume(det.publisher.endpoint, acks=det.publisher.acks, boot_id=f"boot {life}", machine=machine)
    end = consumer.until(EndSeries)[-1]
    consumer.ack()
    assert (end.result.outcome, end.result.received, end.result.missing) == (Outcome.COMPLETE, 300, ())


# -- a ring that is too small -----------------------------------------------------------------------


def test_what_finds_no_room_in_the_ring_is_dropped_counted_and_named(pair: Callable[..., Any]) -> None:
    det, consumer = pair(**HURRIED)
    det.service.arm(series(100))
    det.service.trigger(TriggerRequest())
    status = det.until_state(AcquirerState.IDLE)
    assert (status.frames_sent + status.frames_dropped, status.frames_dropped > 80) == (100, True)

    _, frames, end = consumer.series()
    consumer.ack()
    result = end.result
    assert (result.outcome, result.missing_count) == (Outcome.INCOMPLETE, status.frames_dropped)
    assert f"the sender dropped {status.frames_dropped} of them" in result.reasons
    assert {frame.header.frame_number for frame in frames}.isdisjoint(
        number for first, last in result.missing for number in range(first, last + 1)
    )


def test_a_recorder_that_catches_up_gets_the_frames_behind_the_gap(
    pair: Callable[..., Any], acking: Callable[[Any], None]
) -> None:
    det, consumer = pair(**HURRIED)
    det.service.arm(ArmRequest(series_id="s", triggers=None))
    det.service.trigger(TriggerRequest())
    det.until(lambda status: status.frames_dropped > 0)
    acking(consumer)
    behind: list[Any] = []
    while not any(frame.header.frames_dropped for frame in behind):
        behind = [done for done in consumer.until(StoreFrame) if isinstance(done, StoreFrame)]
    det.service.abort()
    assert consumer.until(EndSeries)[-1].result.missing
    consumer.ack()


def test_a_series_stops_where_a_frame_finds_no_room_if_it_is_to(pair: Callable[..., Any]) -> None:
    det, consumer = pair(**HURRIED, when_full="stop")
    det.service.arm(series(1000))
    det.service.trigger(TriggerRequest())
    status = det.until_state(AcquirerState.FAULT)
    _, frames, end = consumer.series()
    consumer.ack()
    problem = f"no room for frame {len(frames)} at {det.publisher.endpoint}, and stream.when_full is `stop`"
    assert problem in status.reason
    assert problem in end.result.reasons[0]
    assert (end.result.end.status, status.frames_sent) == ("failed", len(frames))
    assert end.result.missing[0][0] == len(frames)


def test_the_next_series_works_after_a_stop(pair: Callable[..., Any], acking: Callable[[Any], None]) -> None:
    det, consumer = pair(**HURRIED, when_full="stop")
    det.service.arm(series(1000))
    det.service.trigger(TriggerRequest())
    det.until_state(AcquirerState.FAULT)
    consumer.series()
    acking(consumer)
    until_unacked(det, 0)
    det.service.arm(msgspec.structs.replace(series(5), series_id="next"))
    det.service.trigger(TriggerRequest())
    assert consumer.series()[2].result.outcome is Outcome.COMPLETE
    consumer.ack()


def test_a_source_that_can_wait_waits_for_room_in_the_ring(
    pair: Callable[..., Any], acking: Callable[[Any], None]
) -> None:
    det, consumer = pair(**{**HURRIED, "period_s": 0.0})
    det.service.arm(series(100))
    acking(consumer)
    det.service.trigger(TriggerRequest())
    _, frames, end = consumer.series()
    consumer.ack()
    assert (len(frames), end.result.outcome) == (100, Outcome.COMPLETE)


# -- the end of the process -------------------------------------------------------------------------


def test_an_acquirer_that_is_stopped_waits_for_the_last_ack(pair: Callable[..., Any]) -> None:
    det, consumer = pair()
    det.service.arm(series(3))
    det.service.trigger(TriggerRequest())
    consumer.series()
    det.until_state(AcquirerState.IDLE)
    stopping = threading.Thread(target=det.stop, name="stop")
    stopping.start()
    consumer.ack()
    stopping.join(20)
    assert (det.publisher.unacked, stopping.is_alive()) == (0, False)


def test_an_acquirer_that_is_stopped_says_what_nobody_acked(
    pair: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    det, consumer = pair(peer_timeout_s=0.2)
    det.service.arm(series(3))
    det.service.trigger(TriggerRequest())
    consumer.series()
    with caplog.at_level(logging.WARNING):
        det.stop()
    assert "5 messages were not acked within 0.2 s" in caplog.text
