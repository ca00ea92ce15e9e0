"""The ring forgets what is acked and nothing else, and gives the rest again in order."""

from collections.abc import Callable

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from stins import (
    Ack,
    Data,
    Decoder,
    EndSeries,
    OpenSeries,
    Outcome,
    ReceiverCheckpoint,
    ReorderWindow,
    ReplayRing,
    SeriesHeader,
    SeriesInfo,
    SeriesReceiver,
    SeriesSender,
    SeriesStart,
    StoreFrame,
    encode,
)


def ring(*ids: int, budget: int = 1000, size: int = 10) -> ReplayRing:
    """A ring that holds these messages of the series `s`, all pushed."""
    made = ReplayRing(budget)
    made.series_begins("s", 0)
    for message_id in ids:
        made.append(message_id, (b"",), size)
        made.push()
    return made


def ack(message_id: int | None, *, boot_id: str = "b", series_id: str | None = "s") -> Ack:
    return Ack(boot_id=boot_id, series_id=series_id, message_id=message_id)


def to_push(kept: ReplayRing) -> list[int]:
    """The ids that are pushed from here on."""
    ids = []
    while (message := kept.next()) is not None:
        ids.append(message.message_id)
        kept.push()
    return ids


def test_what_is_acked_is_forgotten():
    kept = ring(0, 1, 2, 3)
    kept.hear(ack(1))

    assert (len(kept), kept.size_bytes) == (2, 20)


def test_a_hello_asks_for_everything_behind_it_again():
    kept = ring(0, 1, 2, 3)

    assert (kept.hear(ack(1)), to_push(kept)) == (True, [2, 3])
    assert (kept.hear(ack(2)), to_push(kept)) == (False, [])


def test_a_hello_of_a_recorder_that_has_nothing_asks_for_everything():
    kept = ring(4, 5)

    assert (kept.hear(ack(None, series_id=None)), to_push(kept)) == (True, [4, 5])


def test_of_several_hellos_in_a_row_the_last_counts():
    kept = ring(0, 1, 2, 3)
    for boot_id, message_id in (("b", 0), ("c", 0), ("d", 2)):
        kept.hear(ack(message_id, boot_id=boot_id))

    assert to_push(kept) == [3]


def test_what_a_recorder_said_before_it_died_does_not_send_the_ring_back_again():
    kept = ring(0, 1, 2, 3)
    kept.hear(ack(0, boot_id="dead"))
    kept.hear(ack(1, boot_id="alive"))
    to_push(kept)

    assert (kept.hear(ack(1, boot_id="dead")), kept.waiting) == (False, 0)


def test_an_ack_of_a_series_that_this_sender_never_had_forgets_nothing():
    kept = ring(0, 1)
    kept.hear(ack(1, series_id="of an earlier sender"))

    assert (len(kept), to_push(kept)) == (2, [0, 1])


def test_an_ack_of_what_was_never_sent_forgets_nothing():
    kept = ring(0, 1)
    kept.hear(ack(7))

    assert len(kept) == 2


def test_an_ack_below_the_start_of_its_series_forgets_nothing():
    kept = ring(0, 1)
    kept.series_begins("t", 5)
    kept.hear(ack(1, series_id="t"))

    assert len(kept) == 2


def test_an_ack_without_a_series_forgets_nothing():
    """It may be about what was under way when its receiver came, before it was sent the start again."""
    kept = ring(0, 1)
    for _ in range(2):
        kept.hear(ack(1, series_id=None))

    assert to_push(kept) == [0, 1]


def test_a_message_fits_while_there_is_room_for_it():
    kept = ring(0, 1, budget=30)

    assert (kept.fits(10), kept.fits(11)) == (True, False)


def test_a_frame_larger_than_the_ring_fits_when_no_other_is_there():
    kept = ReplayRing(10)
    kept.append(0, (), 100, is_frame=False)
    assert kept.fits(1000)

    kept.append(1, (), 0)
    assert not kept.fits(0)


def of_two_series(*hellos: Ack) -> ReplayRing:
    """A full ring: frames 3 and 4 of `s`, whose start was acked, its end 5; start 6 and frame 7 of `t`; all pushed."""
    made = ring(budget=30)
    made.append(3, (), 10)
    made.append(4, (), 10)
    made.append(5, (), 0, is_frame=False)
    made.series_begins("t", 6)
    made.append(6, (), 0, is_frame=False)
    made.append(7, (), 10)
    for hello in hellos:
        made.hear(hello)
    to_push(made)
    return made


EMPTY = ack(None, series_id=None)


def test_frames_that_a_receiver_without_their_series_has_had_make_room_for_the_next_series():
    kept = of_two_series(EMPTY)
    kept.hear(ack(5, series_id=None))
    assert (len(kept), kept.fits(10)) == (5, False)

    assert (kept.let_go(), len(kept), kept.size_bytes, kept.fits(10)) == (2, 3, 10, True)
    assert kept.let_go() == 0


def test_frames_that_such_a_receiver_has_not_had_yet_are_kept():
    kept = of_two_series(EMPTY)
    assert kept.let_go() == 0
    kept.hear(ack(3, series_id=None))

    assert (kept.let_go(), len(kept)) == (1, 4)


def test_frames_of_the_last_series_are_kept_though_their_receiver_does_not_know_it():
    """A receiver that does may come yet."""
    kept = ring(budget=20)
    kept.hear(EMPTY)
    kept.append(3, (), 20)
    to_push(kept)
    kept.hear(ack(3, series_id=None))

    assert kept.let_go() == 0


def test_a_series_whose_start_is_kept_comes_again_as_a_whole():
    kept = ring(budget=20)
    kept.append(0, (), 0, is_frame=False)
    kept.append(1, (), 20)
    kept.hear(EMPTY)
    to_push(kept)
    kept.series_begins("t", 2)
    # It had the frame before the sender heard its hello.
    kept.hear(ack(1, series_id=None))

    assert kept.let_go() == 0


def test_a_receiver_that_goes_on_with_its_series_gets_it_again_after_one_that_did_not_know_it():
    kept = of_two_series(EMPTY)
    kept.hear(ack(5, series_id=None))
    kept.hear(ack(2, boot_id="c"))

    assert (kept.let_go(), to_push(kept), kept.let_go()) == (0, [3, 4, 5, 6, 7], 0)


def test_ids_of_a_receiver_that_had_something_when_it_came_may_be_those_of_an_earlier_sender():
    kept = of_two_series(ack(1, series_id=None))
    kept.hear(ack(5, series_id=None))

    assert kept.let_go() == 0


def test_one_frame_of_a_series_fits_though_the_ring_is_full_of_the_one_before():
    """With it the receiver acks what was before, if only now."""
    kept = ring(0, 1, 2, budget=30)
    assert not kept.fits(10)
    kept.series_begins("t", 3)
    assert kept.fits(10)
    kept.append(3, (), 10)
    assert not kept.fits(10)
    kept.hear(ack(2))
    assert (kept.fits(20), kept.fits(21)) == (True, False)
    kept.hear(ack(3, series_id="t"))

    assert kept.fits(31)


def test_what_was_appended_after_a_rewind_is_pushed_last():
    kept = ring(0, 1)
    kept.rewind()
    kept.append(2, (), 0)

    assert to_push(kept) == [0, 1, 2]


def test_what_is_forgotten_is_counted():
    kept = ring(0, 1)
    kept.append(2, (), 5)

    assert (kept.forget(), len(kept), kept.size_bytes, kept.next()) == (3, 0, 0, None)


def test_series_are_remembered_up_to_a_limit():
    kept = ring(0)
    for number in range(1, 100):
        kept.series_begins(f"s{number}", number)

    assert len(kept._series) == 64


class RingMachine(RuleBasedStateMachine):
    """Any order of what a publisher does, against a list."""

    def __init__(self) -> None:
        super().__init__()
        self.ring = ReplayRing(200)
        self.ring.series_begins("s", 0)
        self.sizes: dict[int, int] = {}
        self.next_id = 0
        self.acked = -1
        self.pushed = -1
        self.boots = 0

    @rule(size=st.integers(0, 80))
    def append(self, size: int) -> None:
        assert self.ring.fits(size) == (sum(self.sizes.values()) + size <= 200 or not self.sizes)
        if self.ring.fits(size):
            self.ring.append(self.next_id, (), size)
            self.sizes[self.next_id] = size
            self.next_id += 1

    @rule()
    def push(self) -> None:
        if (kept := self.ring.next()) is not None:
            assert kept.message_id == max(self.pushed, self.acked) + 1
            self.pushed = kept.message_id
            self.ring.push()

    @rule(share=st.floats(0, 1), hello=st.booleans())
    def hear(self, share: float, hello: bool) -> None:
        # A boot that nobody heard of is none: the next word would be its hello.
        if not self.next_id:
            return
        self.boots += hello
        if not self.boots:
            return
        upto = int(share * (self.next_id - 1))
        self.ring.hear(ack(upto, boot_id=f"b{self.boots}"))
        self.acked = max(self.acked, upto)
        self.sizes = {number: size for number, size in self.sizes.items() if number > upto}
        if hello:
            self.pushed = self.acked

    @rule()
    def rewind(self) -> None:
        self.ring.rewind()
        self.pushed = self.acked

    @invariant()
    def what_is_not_acked_is_there(self) -> None:
        assert (len(self.ring), self.ring.size_bytes) == (len(self.sizes), sum(self.sizes.values()))
        assert self.ring.waiting == self.next_id - 1 - max(self.pushed, self.acked)


TestRing = RingMachine.TestCase
TestRing.settings = settings(deadline=None)


class Chain:
    """Ring, wire and receiver, all in memory: the wire loses everything on it when the receiver dies."""

    def __init__(self, frames: int) -> None:
        sender = SeriesSender()
        self.messages = []
        for series_id in ("s", "t"):
            start = sender.start(SeriesHeader(series=SeriesInfo(id=series_id)))
            self.messages += [start, *(sender.data(frame) for frame in range(frames)), sender.end()]
        self.ring = ReplayRing(1 << 20)
        self.wire: list[bytes] = []
        self.machine = SeriesReceiver(window=ReorderWindow(count=4))
        self.start: SeriesStart | None = None
        self.written: dict[tuple[str, int], int] = {}
        self.outcomes: list[Outcome] = []
        self.boots = 0
        self.flush()

    def send(self) -> None:
        if self.messages:
            message = self.messages.pop(0)
            if isinstance(message, SeriesStart):
                self.ring.series_begins(message.series.id, message.message_id)
            self.ring.append(message.message_id, (encode(message),), 1, is_frame=isinstance(message, Data))

    def push(self) -> None:
        if (kept := self.ring.next()) is not None:
            self.wire.append(bytes(kept.parts[0]))
            self.ring.push()

    def receive(self) -> None:
        if self.wire:
            for done in self.machine.receive(Decoder().decode([self.wire.pop(0)]), 0.0):
                if isinstance(done, OpenSeries):
                    self.start = done.start
                elif isinstance(done, StoreFrame):
                    self.written[self.start.series.id, done.row] = done.header.frame_number
                elif isinstance(done, EndSeries):
                    self.outcomes.append(done.result.outcome)

    def let_go(self) -> None:
        """As where there is no room."""
        self.ring.let_go()

    def flush(self) -> None:
        """Flushes file and journal, then acks."""
        self.kept, self.flushed = (self.machine.checkpoint(), self.start), (dict(self.written), list(self.outcomes))
        self.say()

    def say(self) -> None:
        series_id, message_id = self.machine.settled
        self.ring.hear(ack(message_id, boot_id=f"b{self.boots}", series_id=series_id))

    def die(self) -> None:
        """What was not flushed is gone, and what was on the wire; a new receiver says hello some time later."""
        self.wire.clear()
        self.written, self.outcomes = dict(self.flushed[0]), list(self.flushed[1])
        self.boots += 1
        self._take_over()

    def intrude(self) -> None:
        """One that knows nothing takes its place, is sent all that is kept, and goes again."""
        self.wire.clear()
        self.boots += 1
        self.machine = SeriesReceiver()
        self.say()
        while (kept := self.ring.next()) is not None:
            self.machine.receive(Decoder().decode([bytes(kept.parts[0])]), 0.0)
            self.ring.push()
            # It stores nothing, so it must ack nothing of a series that it has open.
            if self.machine.account() is not None:
                break
            self.say()
        self.die()
        self.say()

    def _take_over(self) -> None:
        checkpoint, self.start = self.kept
        kept = msgspec.json.decode(msgspec.json.encode(checkpoint), type=ReceiverCheckpoint)
        start = self.start if kept.account is not None else None
        self.machine = SeriesReceiver.resume(kept, start, 0.0, window=ReorderWindow(count=4), replay=True)


ACTS: dict[str, Callable[[Chain], None]] = {
    "send": Chain.send,
    "push": Chain.push,
    "receive": Chain.receive,
    "flush": Chain.flush,
    "let go": Chain.let_go,
    "die": Chain.die,
    "intrude": Chain.intrude,
}


@given(st.lists(st.sampled_from(["send", "push", "receive"] * 3 + ["flush", "let go", "die", "intrude"]), max_size=200))
def test_a_receiver_that_dies_at_any_moments_has_every_frame_in_its_row_in_the_end(acts):
    chain = Chain(frames=6)
    for act in acts:
        ACTS[act](chain)
    # The hello of the last life.
    chain.flush()
    for act in ["send", "push", "receive", "let go"] * 200:
        ACTS[act](chain)
    chain.flush()

    assert chain.flushed[0] == {(series_id, frame): frame for series_id in "st" for frame in range(6)}
    assert (set(chain.outcomes), len(chain.ring)) == ({Outcome.COMPLETE}, 0)
