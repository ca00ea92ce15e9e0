"""A receiver that was cut off anywhere and resumed from its checkpoint comes to the same result."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_conversation import ACTS, FATES, LENGTH, WINDOW, File, line, send

from stins import (
    Data,
    Decoder,
    EndSeries,
    LocalProtocolError,
    MessageError,
    Outcome,
    Packet,
    ReceiverCheckpoint,
    ReorderWindow,
    Report,
    SeriesEnd,
    SeriesInfo,
    SeriesReceiver,
    SeriesSender,
    SeriesStart,
    StoreFrame,
    encode,
)
from stins.receiver import ReceiverState

CONVERSATION = st.lists(ACTS, max_size=LENGTH)
FATE = st.lists(FATES, min_size=2 * LENGTH + 4, max_size=2 * LENGTH + 4)


def window() -> ReorderWindow:
    return ReorderWindow(count=WINDOW)


def through_json(checkpoint: ReceiverCheckpoint) -> ReceiverCheckpoint:
    return msgspec.json.decode(msgspec.json.encode(checkpoint), type=ReceiverCheckpoint)


def feed(receiver: SeriesReceiver, file: File, arrivals: list[list[bytes]]) -> None:
    decoder = Decoder(strict=True)
    for parts in arrivals:
        try:
            file.execute(receiver.receive(decoder.decode(parts), now=0.0))
        except MessageError as error:
            file.execute(receiver.refuse(error.message_id, str(error), now=0.0))


def cut(receiver: SeriesReceiver, arrived: list[list[bytes]], *, replay: bool = False) -> SeriesReceiver:
    """The receiver anew, from its checkpoint and the start of the series that was open."""
    starts = [start for raw in arrived if isinstance(start := header_of(raw), SeriesStart)]
    return SeriesReceiver.resume(
        through_json(receiver.checkpoint()), starts[-1] if starts else None, now=0.0, window=window(), replay=replay
    )


def header_of(parts: list[bytes]) -> object:
    try:
        return Decoder().decode(parts).header
    except MessageError:
        return None


def number(parts: list[bytes]) -> int:
    return int(msgspec.json.decode(parts[0])["message_id"])


def two_series(acts: list[str], more: list[str]) -> list[object]:
    sender = SeriesSender()
    return [*send(acts, "a", sender), *send(more, "b", sender)]


@given(CONVERSATION, CONVERSATION, FATE, st.integers(0, 3 * LENGTH))
def test_a_conversation_cut_anywhere_and_resumed_ends_as_if_it_had_not_been_cut(acts, more, fates, at):
    arrivals = line(two_series(acts, more), fates)
    uncut, whole = SeriesReceiver(window=window()), File()
    feed(uncut, whole, arrivals)

    before, file = SeriesReceiver(window=window()), File()
    feed(before, file, arrivals[:at])
    _, settled = before.settled
    waiting: dict[int, list[bytes]] = {}
    for raw in arrivals[:at]:
        if settled is not None and number(raw) > settled:
            waiting.setdefault(number(raw), raw)
    after = cut(before, arrivals[:at])
    feed(after, file, [*waiting.values(), *arrivals[at:]])

    assert after.checkpoint() == uncut.checkpoint()
    file.execute(after.stop("stopped"))
    whole.execute(uncut.stop("stopped"))
    assert file == whole


@given(CONVERSATION, CONVERSATION, FATE, st.integers(0, 3 * LENGTH), st.integers(0, LENGTH))
def test_go_back_to_the_checkpoint_heals_what_was_under_way(acts, more, fates, at, ahead):
    messages = [[encode(message)] for message in two_series(acts, more)]
    arrived = line(two_series(acts, more), fates)[:at]
    before, file = SeriesReceiver(window=window()), File()
    feed(before, file, arrived)
    _, settled = before.settled
    rest = [raw for raw in messages if settled is None or number(raw) > settled]
    # What the sender had put on the new connection before it heard that it must go back.
    under_way = rest[ahead:] if before.checkpoint().next_id is not None else []

    after = cut(before, arrived, replay=True)
    feed(after, file, under_way)
    feed(after, file, rest)

    whole = File()
    straight = cut(before, arrived)
    feed(straight, whole, rest)
    assert after.checkpoint() == msgspec.structs.replace(
        straight.checkpoint(),
        duplicates=after.duplicates,
        said=after.checkpoint().said,
    )
    assert not after.awaits_replay or not rest
    whole.rows = {**file.rows, **whole.rows}
    assert {row: file.rows[row] for row in whole.rows} == whole.rows


# -- the replay -------------------------------------------------------------------------------------


def start(message_id: int = 0, series_id: str = "a") -> Packet:
    return Packet(SeriesStart(version=1, message_id=message_id, series=SeriesInfo(id=series_id)))


def data(message_id: int) -> Packet:
    return Packet(Data(version=1, message_id=message_id, frame_number=message_id - 1))


def end(message_id: int) -> Packet:
    return Packet(SeriesEnd(version=1, message_id=message_id))


def resumed(*packets: Packet, replay: bool = True) -> SeriesReceiver:
    """A receiver that had these packets before it was cut off; its window holds two."""
    receiver = SeriesReceiver()
    for packet in packets:
        receiver.receive(packet, 0.0)
    return SeriesReceiver.resume(
        receiver.checkpoint(), start().header, now=0.0, window=ReorderWindow(count=2), replay=replay
    )


def rows(instructions: list[object]) -> list[int]:
    return [i.row for i in instructions if isinstance(i, StoreFrame)]


def test_with_a_replay_to_come_nothing_is_given_up_for_what_was_under_way():
    receiver = resumed(start(), data(1))
    early = [done for i in range(4, 9) for done in receiver.receive(data(i), 0.0)]
    late = [done for i in range(2, 9) for done in receiver.receive(data(i), 5.0)]
    (ended,) = receiver.receive(end(9), 5.0)

    assert (rows(early), rows(late)) == ([], [1, 2, 3, 4, 5, 6, 7])
    assert (ended.result.outcome, receiver.awaits_replay) == (Outcome.COMPLETE, False)


def test_a_replay_that_does_not_come_is_waited_for_until_its_time_is_up():
    receiver = resumed(start(), data(1))
    for message_id in (4, 5, 6):
        receiver.receive(data(message_id), 0.0)

    assert (receiver.tick(9.9), receiver.awaits_replay) == ([], True)
    assert (rows(receiver.tick(10.0)), receiver.awaits_replay) == ([3, 4], False)


def test_a_series_whose_replay_does_not_come_ends_with_its_end_though_the_window_was_full():
    receiver = resumed(start(), data(1))
    for packet in (*map(data, range(4, 9)), end(9), start(10, "b")):
        receiver.receive(packet, 0.0)
    done = receiver.tick(10.0)

    ended = next(i.result for i in done if isinstance(i, EndSeries))
    assert (ended.outcome, ended.received) == (Outcome.INCOMPLETE, 1)
    assert (
        Report("gap", "messages 2 to 8 did not come, or found no room while all was to come again; going on with 9")
        in done
    )
    assert (receiver.state, receiver.settled) == (ReceiverState.OPEN, ("b", 10))


def test_a_window_that_is_full_of_ends_holds_no_more_of_them():
    receiver = resumed(start(), data(1))
    for packet in (end(5), end(7), end(9)):
        receiver.receive(packet, 0.0)
    receiver.tick(10.0)

    assert receiver.settled == ("a", 7)


def test_without_a_replay_to_come_a_gap_is_given_up_as_usual():
    receiver = resumed(start(), data(1), replay=False)

    assert rows([done for i in (4, 5, 6) for done in receiver.receive(data(i), 0.0)]) == [3, 4, 5]


def test_a_sender_that_restarted_is_not_waited_for():
    receiver = resumed(start(5, "a"), data(6))
    ended, opened = receiver.receive(start(0, "b"), 0.0)

    assert (ended.result.reasons[0], opened.start.message_id) == ("the sender restarted", 0)
    assert not receiver.awaits_replay


def test_a_start_that_came_before_the_cut_is_known_after_it():
    receiver = resumed(start(), data(1))

    assert [type(done).__name__ for done in receiver.receive(start(), 0.0)] == ["Report"]
    assert receiver.duplicates == 1


def test_a_receiver_that_had_nothing_waits_for_no_replay():
    receiver = SeriesReceiver.resume(SeriesReceiver().checkpoint(), None, now=0.0, replay=True)

    assert not receiver.awaits_replay
    assert receiver.settled == (None, None)


def test_an_open_series_cannot_be_resumed_without_its_start():
    receiver = SeriesReceiver()
    receiver.receive(start(), 0.0)

    with pytest.raises(LocalProtocolError, match="no series-start to resume it with"):
        SeriesReceiver.resume(receiver.checkpoint(), None, now=0.0)


# -- settled ----------------------------------------------------------------------------------------


def test_settled_names_the_series_started_last_and_the_last_message_handled():
    receiver = SeriesReceiver()
    said = []
    for packet in (start(0, "a"), data(1), data(3), data(2), end(4), start(5, "b")):
        receiver.receive(packet, 0.0)
        said.append(receiver.settled)

    assert said == [("a", 0), ("a", 1), ("a", 1), ("a", 3), ("a", 4), ("b", 5)]


def test_a_gap_that_is_given_up_is_settled():
    receiver = SeriesReceiver(window=ReorderWindow(timeout_s=1.0))
    for packet in (start(), data(3)):
        receiver.receive(packet, 0.0)
    receiver.tick(1.0)

    assert receiver.settled == ("a", 3)
