"""Acks and replay over real sockets: what a receiver loses is sent to it again."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import msgspec
import pytest
import zmq

from stins import (
    Ack,
    Decoder,
    EndSeries,
    Outcome,
    ReceiverCheckpoint,
    SeriesHeader,
    SeriesInfo,
    SeriesReceiver,
    SeriesResult,
    SeriesSender,
    SeriesStart,
    StoreFrame,
    encode,
)
from stins.acks import encode_ack
from stins.messages import Part
from stins.transport import AckSender, Publisher, Receiver, TransportError

DEADLINE_S = 20.0
PIXELS = 4096
PART = (Part(name="image", shape=(PIXELS,), dtype="uint8"),)
ANY = "tcp://127.0.0.1:0"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def wait_until(condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    deadline, pause = time.monotonic() + deadline_s, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {deadline_s} s"
        pause.wait(0.005)


class Sender:
    """A publisher with small queues, and the messages of one series after the other."""

    def __init__(self, stack: ExitStack, ring_bytes: int = 1 << 20, acks: str | None = ANY) -> None:
        self.publisher = Publisher(
            ANY, acks=acks, ring_bytes=ring_bytes, budget_bytes=4 << 16, max_message_bytes=1 << 16
        )
        stack.callback(self.publisher.close, 0)
        self._sender = SeriesSender()
        self.frames = 0

    def start(self, series_id: str = "s", timeout_s: float = DEADLINE_S) -> bool:
        self.frames = 0
        start = self._sender.start(SeriesHeader(series=SeriesInfo(id=series_id)))
        return self.publisher.send((encode(start),), timeout_s)

    def frame(self, timeout_s: float = 0.0) -> bool:
        """Sends the next frame; its pixels say its number."""
        message = self._sender.data(self.frames, data=PART)
        sent = self.publisher.send((encode(message), self.pixels(self.frames)), timeout_s)
        self.frames += 1
        if not sent:
            self._sender.unsend(message)
        return sent

    def end(self, timeout_s: float = DEADLINE_S) -> bool:
        return self.publisher.send((encode(self._sender.end()),), timeout_s)

    @staticmethod
    def pixels(number: int) -> bytes:
        return bytes([number % 256]) * PIXELS


class Taker:
    """A recorder in memory: what it has flushed, and the checkpoint with it, outlives it."""

    def __init__(self, stack: ExitStack, publisher: Publisher, *, acks: bool = True) -> None:
        self._stack, self._publisher, self._acks = stack, publisher, acks
        self._boots = 0
        self._starts: list[SeriesStart] = []
        self.stored: dict[int, int] = {}
        self.results: list[SeriesResult] = []
        self.machine = SeriesReceiver()
        self._acked: Ack
        self._flushed: tuple[ReceiverCheckpoint, dict[int, int], int]
        self._connect()
        self.flush()

    def _connect(self) -> None:
        self._receiver = Receiver([self._publisher.endpoint], budget_bytes=4 << 16, max_message_bytes=1 << 16)
        self._stack.callback(self._receiver.close)
        endpoints = [self._publisher.acks] if self._acks and self._publisher.acks else []
        self._ack_sender = AckSender(endpoints)
        self._stack.callback(self._ack_sender.close, 0)

    def take(self, count: int = 1) -> None:
        """Handles so many messages."""
        for _ in range(count):
            deadline = time.monotonic() + DEADLINE_S
            while (parts := self._receiver.receive()) is None:
                assert time.monotonic() < deadline, "no message"
                # The publisher has no loop of its own here.
                self._publisher.service()
                if not self._receiver.socket.poll(20):
                    self._ack_sender.send(self._acked)
            self._handle(parts)

    def _handle(self, parts: list[memoryview]) -> None:
        packet = Decoder().decode(parts)
        if isinstance(packet.header, SeriesStart):
            self._starts.append(packet.header)
        for done in self.machine.receive(packet, time.monotonic()):
            if isinstance(done, StoreFrame):
                assert bytes(done.packet.payload[0]) == Sender.pixels(done.header.frame_number)
                self.stored[done.row] = done.header.frame_number
            elif isinstance(done, EndSeries):
                self.results.append(done.result)

    def until_ended(self) -> SeriesResult:
        """Takes all up to the next end of a series."""
        ended = len(self.results)
        while len(self.results) == ended:
            self.take()
        return self.results[-1]

    def flush(self) -> None:
        """All that was handled outlives this receiver; the sender is told."""
        self._flushed = self.machine.checkpoint(), dict(self.stored), len(self.results)
        series_id, message_id = self.machine.settled
        self._acked = Ack(boot_id=f"boot {self._boots}", series_id=series_id, message_id=message_id)
        self._ack_sender.send(self._acked)

    def lose_connection(self) -> None:
        """The network breaks and comes back; this receiver knows nothing of it."""
        self._receiver.close()
        self._ack_sender.close(0)
        self._connect()

    def forget_everything(self) -> None:
        """It is killed, and another comes that knows nothing of what it had flushed."""
        self.lose_connection()
        self._boots += 1
        self.machine = SeriesReceiver()
        self.flush()

    def die(self) -> None:
        """It is killed, and another takes up what it had flushed."""
        self.lose_connection()
        self._boots += 1
        checkpoint, self.stored, ended = self._flushed
        del self.results[ended:]
        kept = msgspec.json.decode(msgspec.json.encode(checkpoint), type=ReceiverCheckpoint)
        start = self._starts[-1] if self._starts else None
        self.machine = SeriesReceiver.resume(kept, start, time.monotonic(), replay=True)
        self.flush()


def acking(stack: ExitStack, ring_bytes: int = 1 << 20) -> tuple[Sender, Taker]:
    """A sender and a receiver that it has heard."""
    sender = Sender(stack, ring_bytes)
    taker = Taker(stack, sender.publisher)

    def heard() -> bool:
        sender.publisher.service()
        return sender.publisher._acking()

    wait_until(heard)
    return sender, taker


def until_acked(sender: Sender, left: int = 0) -> None:
    def looked() -> bool:
        sender.publisher.service()
        return sender.publisher.unacked == left

    wait_until(looked)


def until_heard(sender: Sender, taker: Taker, *acks: Ack) -> None:
    """Sends these acks, none of them dropped, and waits until the publisher has read them all."""
    (socket,) = taker._ack_sender._sockets
    for ack in acks:
        socket.send(encode_ack(ack))
    # Behind them, on the same connection, something that is counted when it is read.
    socket.send(b"no ack")

    def read() -> bool:
        sender.publisher.service()
        assert sender.publisher._listener is not None
        return sender.publisher._listener.refused == 1

    wait_until(read)


# -- without acks -----------------------------------------------------------------------------------


def test_a_peer_that_never_acks_is_served_and_nothing_is_kept_for_it(stack: ExitStack) -> None:
    sender = Sender(stack)
    taker = Taker(stack, sender.publisher, acks=False)
    assert sender.publisher.wait_for_peer(DEADLINE_S)
    sender.start()
    for _ in range(5):
        assert sender.frame(DEADLINE_S)
    sender.end()

    assert taker.until_ended().outcome is Outcome.COMPLETE
    assert (sender.publisher.replay, sender.publisher.unacked) == (False, 0)
    assert sender.publisher.drain(DEADLINE_S) == 0


def test_a_publisher_without_an_ack_endpoint_has_none(stack: ExitStack) -> None:
    publisher = Sender(stack, acks=None).publisher

    assert (publisher.acks, publisher.replay, publisher.wait_for_peer(0.0)) == (None, False, False)


def test_an_ack_endpoint_that_is_taken_is_refused_by_name(stack: ExitStack) -> None:
    taken = Sender(stack).publisher.acks

    with pytest.raises(TransportError, match=f"cannot bind {taken}: .*choose another port, or 0 for any"):
        Publisher(ANY, acks=taken)


# -- acks -------------------------------------------------------------------------------------------


def test_a_receiver_that_has_just_connected_is_known_to_ack_before_its_first_series(stack: ExitStack) -> None:
    sender = Sender(stack)
    Taker(stack, sender.publisher)
    assert sender.publisher.wait_for_peer(DEADLINE_S)
    sender.start()

    assert sender.publisher.replay


def test_what_is_acked_is_no_longer_kept(stack: ExitStack) -> None:
    sender, taker = acking(stack)
    sender.start()
    for _ in range(3):
        sender.frame()
    sender.end()
    assert (sender.publisher.unacked, sender.publisher.unacked_bytes > 3 * PIXELS) == (5, True)

    taker.take(3)
    taker.flush()
    until_acked(sender, left=2)
    taker.take(2)
    taker.flush()

    assert sender.publisher.drain(DEADLINE_S) == 0


def test_what_is_not_acked_in_time_is_counted(stack: ExitStack) -> None:
    sender, _ = acking(stack)
    sender.start()
    begun = time.monotonic()

    assert sender.publisher.drain(0.2) == 1
    assert time.monotonic() - begun >= 0.2


def test_the_last_ack_arrives_though_its_sender_is_closed_at_once(stack: ExitStack) -> None:
    sender, taker = acking(stack)
    sender.start()
    taker.take()
    taker.flush()
    taker._ack_sender.close()

    assert sender.publisher.drain(DEADLINE_S) == 0


def test_acks_to_nobody_never_wait(stack: ExitStack) -> None:
    acks = AckSender(["tcp://127.0.0.1:1"])
    stack.callback(acks.close, 0)
    for number in range(1000):
        acks.send(Ack(boot_id="b", series_id=None, message_id=number))


def test_what_is_no_ack_is_refused_and_said_once(stack: ExitStack, caplog: pytest.LogCaptureFixture) -> None:
    sender, taker = acking(stack)
    liar = zmq.Context.instance().socket(zmq.PUSH)
    stack.callback(liar.close, 0)
    liar.connect(sender.publisher.acks or "")
    for _ in range(3):
        liar.send(b'{"boot_id":"x"}')

    def refused() -> bool:
        sender.publisher.service()
        return sender.publisher._listener.refused == 3

    wait_until(refused)
    assert len([r for r in caplog.records if "missing required field `series_id`" in r.message]) == 1
    sender.start()
    taker.take()


# -- replay -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [1, 4], ids=["keeps up", "lags"])
def test_a_receiver_that_dies_again_and_again_loses_nothing_and_doubles_nothing(stack: ExitStack, lag: int) -> None:
    sender, taker = acking(stack)
    sender.start()
    for number in range(200):
        assert sender.frame(DEADLINE_S)
        if number % lag == 0:
            taker.take()
        if number % 13 == 0:
            taker.flush()
        if number % 31 == 30:
            taker.die()
    sender.end()
    result = taker.until_ended()

    assert taker.stored == {frame: frame for frame in range(200)}
    assert (result.outcome, result.missing, result.received) == (Outcome.COMPLETE, (), 200)


def test_a_receiver_that_dies_after_the_end_gets_the_end_again(stack: ExitStack) -> None:
    sender, taker = acking(stack)
    sender.start()
    sender.frame()
    sender.end()
    taker.until_ended()
    taker.die()

    assert taker.until_ended().outcome is Outcome.COMPLETE


def test_two_series_are_sent_again_to_a_receiver_that_lost_both(stack: ExitStack) -> None:
    sender, taker = acking(stack)
    for series_id in ("one", "two"):
        sender.start(series_id)
        sender.frame()
        sender.end()
    taker.until_ended()
    taker.die()

    assert [taker.until_ended().outcome for _ in range(2)] == [Outcome.COMPLETE] * 2


def test_a_connection_that_breaks_under_a_living_receiver_loses_nothing(stack: ExitStack) -> None:
    sender, taker = acking(stack)
    sender.start()
    for _ in range(20):
        sender.frame()
    taker.take(3)
    taker.lose_connection()
    taker.flush()
    sender.end()
    result = taker.until_ended()

    assert (result.outcome, taker.stored) == (Outcome.COMPLETE, {frame: frame for frame in range(20)})


def test_the_last_ack_of_a_receiver_that_died_is_not_taken_for_its_coming_back(stack: ExitStack) -> None:
    sender, taker = acking(stack)
    publisher = sender.publisher
    sender.start()
    sender.frame()
    taker.take(2)
    taker._ack_sender.send(taker._acked)
    taker._receiver.close()
    assert publisher._listener is not None
    heard = publisher._listener.socket
    wait_until(lambda: heard.poll(0) and publisher._peers._monitor.poll(0))  # it reads both in one look

    def connected(expected: bool) -> bool:
        publisher.service()
        return publisher._peers.connected is expected

    wait_until(lambda: connected(False))
    another = Receiver([publisher.endpoint], budget_bytes=4 << 16, max_message_bytes=1 << 16)
    stack.callback(another.close)
    wait_until(lambda: connected(True))
    sender.frame()  # it waits until the other has said what it has
    acks = AckSender([publisher.acks or ""])
    stack.callback(acks.close, 0)
    acks.send(Ack(boot_id="another", series_id="s", message_id=0))
    wait_until(lambda: connected(True) and heard.poll(0) == 0 and not publisher._peer_lost)
    sender.frame()

    came = []

    def all_came() -> bool:
        publisher.service()
        while parts := another.receive():
            came.append(Decoder().decode(parts).header.message_id)
        return 3 in came

    wait_until(all_came)
    assert came == [1, 2, 3], "each once"


def test_who_acks_for_longer_than_last_words_take_lives_and_is_sent_all_once_it_connects(stack: ExitStack) -> None:
    sender, taker = acking(stack)
    publisher = sender.publisher
    sender.start()
    taker.take()
    taker._receiver.close()
    broke = time.monotonic()

    def released() -> bool:
        taker._ack_sender.send(taker._acked)
        publisher.service()
        return publisher._peers.left >= broke and not publisher._peer_lost

    wait_until(released)
    assert time.monotonic() - publisher._peers.left >= 0.5
    taker._receiver = Receiver([publisher.endpoint], budget_bytes=4 << 16, max_message_bytes=1 << 16)
    stack.callback(taker._receiver.close)

    def is_served() -> bool:
        publisher.service()
        return taker._receiver.receive() is not None

    # Without one more ack; behind 5 s a peer is served in any case.
    wait_until(is_served, 4.0)


def test_a_receiver_that_begins_to_ack_in_mid_series_turns_the_replay_on_from_there(stack: ExitStack) -> None:
    sender = Sender(stack)
    mute = Taker(stack, sender.publisher, acks=False)
    assert sender.publisher.wait_for_peer(DEADLINE_S)
    sender.start()
    sender.frame()
    mute.take(2)
    assert not sender.publisher.replay

    mute._acks = True
    mute.die()

    def turned_on() -> bool:
        sender.publisher.service()
        return sender.publisher.replay

    wait_until(turned_on)
    sender.frame()
    assert sender.publisher.unacked == 1


def test_what_a_recorder_that_is_gone_never_acked_is_forgotten_when_another_takes_its_place(
    stack: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    sender, taker = acking(stack)
    sender.start("one")
    sender.end()
    taker._receiver.close()
    taker._ack_sender.close(0)
    mute = Taker(stack, sender.publisher, acks=False)
    # Five seconds without a word.
    wait_until(lambda: not sender.publisher._acking(), 30)
    sender.start("two")
    sender.end()

    assert (mute.until_ended().outcome, sender.publisher.replay) == (Outcome.COMPLETE, False)
    assert "nobody acks any more; 2 messages that were not acked are forgotten" in caplog.text


# -- a ring that is too small -----------------------------------------------------------------------


def test_a_full_ring_takes_no_frame_until_some_are_acked(stack: ExitStack) -> None:
    sender, taker = acking(stack, ring_bytes=3 * PIXELS)
    sender.start()
    assert [sender.frame() for _ in range(4)] == [True, True, False, False]

    taker.take(3)
    taker.flush()
    assert sender.frame(DEADLINE_S)


def test_waiting_for_room_in_the_ring_has_its_deadline(stack: ExitStack) -> None:
    sender, _ = acking(stack, ring_bytes=3 * PIXELS)
    sender.start()
    sender.frame()
    sender.frame()
    begun = time.monotonic()

    assert not sender.frame(0.2)
    assert 0.2 <= time.monotonic() - begun < DEADLINE_S


def test_a_new_series_begins_though_the_ring_is_full_of_another(stack: ExitStack) -> None:
    sender, taker = acking(stack, ring_bytes=2 * PIXELS)
    sender.start("one")
    while sender.frame():
        pass
    sender.end()
    assert sender.start("two", 0.0)
    taker.until_ended()
    taker.take()
    taker.flush()
    assert sender.frame(DEADLINE_S)


def test_what_a_receiver_without_its_series_was_sent_in_vain_makes_room_for_the_next_series(
    stack: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    sender, taker = acking(stack, ring_bytes=4 * PIXELS)
    sender.start("one")
    sender.frame()
    taker.take(2)
    taker.flush()
    until_acked(sender)
    while sender.frame():
        pass
    sender.end()
    taker.forget_everything()
    taker.take(4)
    taker.flush()
    until_heard(sender, taker, taker._acked)
    assert (taker.machine.strays, sender.publisher.unacked) == (4, 4)

    sender.start("two")
    assert [sender.frame() for _ in range(4)] == [True, True, True, False]
    assert "3 frames of an earlier series, which the recorder there does not know, are let go of" in caplog.text
    sender.end()
    assert taker.until_ended().received == 3


def test_a_series_without_an_id_is_sent_as_to_any_peer(stack: ExitStack) -> None:
    sender, taker = acking(stack)
    start = SeriesSender().start(SeriesHeader())
    assert sender.publisher.send((encode(start),), DEADLINE_S)
    taker.take()
    taker.flush()
    until_heard(sender, taker, taker._acked)

    assert (sender.publisher.replay, sender.publisher.unacked) == (False, 0)


def test_the_end_of_a_series_finds_room_in_a_full_ring(stack: ExitStack) -> None:
    sender, taker = acking(stack, ring_bytes=2 * PIXELS)
    sender.start()
    while sender.frame():
        pass
    assert sender.end(0.0)
    result = taker.until_ended()

    assert (result.outcome, result.missing, result.end.frames_dropped) == (Outcome.INCOMPLETE, ((1, 1),), ((1, 1),))


def test_a_message_larger_than_the_ring_is_sent_alone(stack: ExitStack) -> None:
    sender, taker = acking(stack, ring_bytes=PIXELS // 2)
    sender.start()
    assert [sender.frame(), sender.frame()] == [True, False]
    taker.take(2)
    assert taker.stored == {0: 0}


def test_without_a_peer_what_is_sent_again_waits_in_the_ring(stack: ExitStack) -> None:
    sender, taker = acking(stack)
    sender.start()
    taker._receiver.close()
    for _ in range(50):
        assert sender.frame(), "the ring has room for 250"
    assert sender.publisher.unacked == 51
    taker.die()
    sender.end()

    assert taker.until_ended().outcome is Outcome.COMPLETE


def test_the_series_of_a_sender_that_restarted_is_not_acked_by_what_was_said_of_the_one_before(
    stack: ExitStack,
) -> None:
    sender, taker = acking(stack)
    sender.start("new")
    taker.take()
    of_before = (Ack(boot_id="boot 0", series_id=of, message_id=id_) for of, id_ in (("of before", 0), (None, 500)))
    until_heard(sender, taker, *of_before)

    assert sender.publisher.unacked == 1
