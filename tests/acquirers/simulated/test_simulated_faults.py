"""Each fault on request, as a real receiver sees it."""

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import psutil
import pytest
from stins_acquirers.simulated import Fault
from stins_acquirers.simulated.faults import FaultyLink

from stins import EndSeries, Outcome, RemoteError, SeriesStart, StoreFrame, encode
from stins.control import AcquirerState, ArmRequest, TriggerRequest
from stins.messages import Data, Header, Payload

REQUEST = ArmRequest(series_id="s", frames_per_trigger=10)


@pytest.fixture
def run(start: Callable[..., Any], consume: Callable[..., Any]) -> Callable[..., Any]:
    """A series of ten frames with faults: its frame numbers, its result, and the ids in the order of their arrival."""

    def run(*faults: dict[str, Any]) -> tuple[list[int], Any, list[int]]:
        det = start(faults=faults)
        consumer = consume(det.publisher.endpoint)
        det.service.arm(REQUEST)
        det.service.trigger(TriggerRequest())
        _, frames, end = consumer.series()
        return [frame.header.frame_number for frame in frames], end.result, consumer.message_ids

    return run


def test_a_dropped_message_leaves_a_gap_in_the_ids_and_an_incomplete_series(run: Callable[..., Any]) -> None:
    frames, result, ids = run({"kind": "drop", "frame": 4})
    assert frames == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert ids == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert (result.outcome, result.missing) == (Outcome.INCOMPLETE, ((4, 4),))


def test_a_duplicated_message_is_counted_and_harmless(run: Callable[..., Any]) -> None:
    frames, result, ids = run({"kind": "duplicate", "frame": 4})
    assert frames == list(range(10))
    assert ids.count(5) == 2
    assert (result.outcome, result.duplicates) == (Outcome.COMPLETE, 1)


def test_reordered_messages_are_put_back_in_order(run: Callable[..., Any]) -> None:
    frames, result, ids = run({"kind": "reorder", "frame": 4})
    assert ids == [0, 1, 2, 3, 4, 6, 5, 7, 8, 9, 10, 11]
    assert frames == list(range(10))
    assert result.outcome is Outcome.COMPLETE


def test_a_message_delayed_for_a_moment_finds_its_place(run: Callable[..., Any]) -> None:
    frames, result, ids = run({"kind": "delay", "frame": 4, "seconds": 0.05})
    assert ids == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 5, 11]
    assert frames == list(range(10))
    assert result.outcome is Outcome.COMPLETE


def test_a_message_delayed_for_longer_than_the_receiver_waits_still_counts(run: Callable[..., Any]) -> None:
    frames, result, _ = run({"kind": "delay", "frame": 4, "seconds": 0.6})
    assert frames == [0, 1, 2, 3, 5, 6, 7, 8, 9, 4]
    assert result.outcome is Outcome.COMPLETE


def test_several_faults_hit_one_series(run: Callable[..., Any]) -> None:
    frames, result, _ = run(
        {"kind": "drop", "frame": 1}, {"kind": "duplicate", "frame": 2}, {"kind": "drop", "frame": 9}
    )
    assert frames == [0, *range(2, 9)]
    assert (result.missing, result.duplicates) == (((1, 1), (9, 9)), 1)


def test_a_fault_comes_back_in_every_series(start: Callable[..., Any], consume: Callable[..., Any]) -> None:
    det = start(faults=[{"kind": "drop", "frame": 0}])
    consumer = consume(det.publisher.endpoint)
    missing = []
    for _ in range(2):
        det.service.arm(REQUEST)
        det.service.trigger(TriggerRequest())
        missing.append(consumer.series()[2].result.missing)
    assert missing == [((0, 0),), ((0, 0),)]


def test_faults_can_be_set_while_the_acquirer_runs(start: Callable[..., Any], consume: Callable[..., Any]) -> None:
    det = start()
    consumer = consume(det.publisher.endpoint)
    det.service.configure({"faults": [{"kind": "drop", "frame": 2}]})
    det.service.arm(REQUEST)
    det.service.trigger(TriggerRequest())
    assert consumer.series()[2].result.missing == ((2, 2),)


class Narrow:
    """A link that has room only when `room` says so."""

    def __init__(self, *room: bool) -> None:
        self.room = list(room)
        self.sent: list[int] = []

    def send(self, parts: Sequence[Payload], timeout_s: float = 0.0, header: Header | None = None) -> bool:
        if not self.room.pop(0):
            return False
        self.sent.append(msgspec.json.decode(parts[0])["message_id"])
        return True


def offer(link: FaultyLink, *messages: Header) -> list[bool]:
    return [link.send((encode(message),)) for message in messages]


def data(number: int) -> Data:
    return Data(version=1, message_id=number, frame_number=number)


def test_a_message_out_of_order_is_kept_until_there_is_room_for_it() -> None:
    narrow = Narrow(True, False, True, True)
    link = FaultyLink(narrow, lambda: (Fault(kind="reorder", frame=0),))
    assert offer(link, data(0), data(1), data(2)) == [True, True, True]
    assert narrow.sent == [1, 2, 0]


def test_a_message_counts_as_sent_once_its_first_copy_is() -> None:
    narrow = Narrow(True, False, True, True)
    link = FaultyLink(narrow, lambda: (Fault(kind="duplicate", frame=0),))
    assert offer(link, data(0), data(1)) == [True, True]
    assert narrow.sent == [0, 1, 0]


def test_what_one_series_owes_does_not_get_into_the_next() -> None:
    narrow = Narrow(*[True] * 9)
    link = FaultyLink(narrow, lambda: (Fault(kind="reorder", frame=7), Fault(kind="delay", frame=8)))
    offer(link, data(7), data(8), SeriesStart(version=1, message_id=20), data(21))
    assert narrow.sent == [20, 21]


def test_a_delay_is_never_longer_than_a_command_may_wait() -> None:
    with pytest.raises(ValueError, match="less than or equal to 5"):
        Fault(kind="delay", frame=0, seconds=6)


def test_a_frozen_acquirer_answers_nobody_until_it_goes_on(
    launch: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    det = launch(faults=[{"kind": "freeze", "frame": 4}], period_s=0.01)
    consumer = consume(det.ready.stream)
    det.client.post("/arm", REQUEST)
    det.client.post("/trigger", TriggerRequest())
    consumer.until(StoreFrame, 4)
    _, status = os.waitpid(det.process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    with pytest.raises(RemoteError, match=r"det: status failed at http.*no answer within 0.3 s"):
        det.client.status(timeout_s=0.3)
    psutil.Process(det.process.pid).resume()
    assert consumer.until(EndSeries)[-1].result.outcome is Outcome.COMPLETE
    idle = threading.Event()
    watch = det.client.watch(lambda status: idle.set() if status.state is AcquirerState.IDLE else None, lambda _: None)
    assert idle.wait(10)
    watch.close()


def test_a_dead_acquirer_leaves_an_open_series_and_a_refused_connection(
    launch: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    det = launch(faults=[{"kind": "die", "frame": 4}], period_s=0.01)
    consumer = consume(det.ready.stream)
    det.client.post("/arm", REQUEST)
    det.client.post("/trigger", TriggerRequest())
    assert det.process.wait(20) == -9
    consumer.until(StoreFrame, 4)
    with pytest.raises(RemoteError, match="det: status failed"):
        det.client.status()
