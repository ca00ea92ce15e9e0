"""What a receiver does with each disorder: the rows of the table in docs/stins.md, and what lies between them."""

import pytest

from stins import (
    Data,
    DiscardFrame,
    EndSeries,
    OpenSeries,
    Outcome,
    Packet,
    ReorderWindow,
    Report,
    SeriesEnd,
    SeriesInfo,
    SeriesReceiver,
    SeriesResult,
    SeriesStart,
    StoreFrame,
)
from stins.receiver import _TABLE, ReceiverState


def start(message_id: int = 0, **series: object) -> Packet:
    return Packet(SeriesStart(version=1, message_id=message_id, **({"series": SeriesInfo(**series)} if series else {})))


def data(message_id: int, frame: int, **keys: object) -> Packet:
    return Packet(Data(version=1, message_id=message_id, frame_number=frame, **keys))


def end(message_id: int, **keys: object) -> Packet:
    return Packet(SeriesEnd(version=1, message_id=message_id, **keys))


def run(*packets: Packet, receiver: SeriesReceiver | None = None, now: float = 0.0) -> list[object]:
    receiver = receiver or SeriesReceiver()
    return [done for packet in packets for done in receiver.receive(packet, now)]


def rows(instructions: list[object]) -> list[tuple[int, int]]:
    """(frame_number, row) of what is to be stored."""
    return [(i.header.frame_number, i.row) for i in instructions if isinstance(i, StoreFrame)]


def rewound(instructions: list[object]) -> list[bool]:
    return [i.rewound for i in instructions if isinstance(i, StoreFrame | DiscardFrame)]


def result(instructions: list[object]) -> SeriesResult:
    (ended,) = [i.result for i in instructions if isinstance(i, EndSeries)]
    return ended


def reports(instructions: list[object]) -> list[str]:
    return [i.kind for i in instructions if isinstance(i, Report)]


def small_window(count: int = 2) -> SeriesReceiver:
    return SeriesReceiver(window=ReorderWindow(count=count))


def test_every_state_has_a_row_for_every_message():
    assert set(_TABLE) == {(state, kind) for state in ReceiverState for kind in (SeriesStart, Data, SeriesEnd)}


def test_a_series_in_order_is_complete():
    done = run(start(filename="a.h5"), data(1, 0), data(2, 1), end(3, frames_sent=2))

    assert isinstance(done[0], OpenSeries)
    assert rows(done) == [(0, 0), (1, 1)]
    assert result(done) == SeriesResult(
        outcome=Outcome.COMPLETE, reasons=(), received=2, stored=2, discarded=0, retaken=0, rows=2, missing=(),
        duplicates=0, refused=0, moved_keys=(), frames_expected=None,
        end=SeriesEnd(version=1, message_id=3, frames_sent=2),
    )  # fmt: skip


# -- data or series-end with no series open ---------------------------------------------------------


def test_data_with_no_series_open_are_counted_reported_once_and_not_kept():
    receiver = SeriesReceiver()
    done = run(data(5, 0), data(6, 1), end(7), receiver=receiver)

    assert (receiver.strays, reports(done), len(done)) == (3, ["stray"], 1)


def test_a_series_after_strays_is_as_any_other():
    receiver = SeriesReceiver()
    done = run(data(5, 0), start(6), data(7, 0), end(8), receiver=receiver)

    assert (result(done).outcome, receiver.strays) == (Outcome.COMPLETE, 0)


# -- series-start while a series is open ------------------------------------------------------------


def test_a_start_while_a_series_is_open_ends_that_one_as_incomplete_and_starts_the_new_one():
    done = run(start(0, id="a"), data(1, 0), start(2, id="b"), data(3, 0), end(4))

    first, second = [i.result for i in done if isinstance(i, EndSeries)]
    assert (first.outcome, first.reasons) == (Outcome.INCOMPLETE, ("a new series started before this one ended",))
    assert (second.outcome, second.received) == (Outcome.COMPLETE, 1)


# -- ids out of order -------------------------------------------------------------------------------


def test_ids_out_of_order_are_put_back_in_order():
    done = run(start(), data(3, 2), data(2, 1), end(4), data(1, 0))

    assert rows(done) == [(0, 0), (1, 1), (2, 2)]
    assert (result(done).outcome, reports(done)) == (Outcome.COMPLETE, [])


# -- an id missing ----------------------------------------------------------------------------------


def test_when_the_window_is_used_up_it_goes_on_and_records_which_frames_are_missing():
    done = run(start(), data(2, 1), data(3, 2), data(4, 3), end(5), receiver=small_window())

    assert rows(done) == [(1, 1), (2, 2), (3, 3)]
    assert reports(done) == ["gap"]
    assert (result(done).outcome, result(done).missing) == (Outcome.INCOMPLETE, ((0, 0),))
    assert result(done).reasons == ("1 frame is missing", "message 1 did not come")


def test_when_the_time_is_used_up_it_goes_on():
    receiver = SeriesReceiver(window=ReorderWindow(timeout_s=2.0))
    run(start(), data(2, 1), receiver=receiver, now=10.0)

    assert receiver.tick(11.9) == []
    assert rows(receiver.tick(12.0)) == [(1, 1)]


def test_a_message_that_comes_after_its_gap_was_given_up_fills_it():
    receiver = small_window()
    done = run(start(), *(data(i, i - 1) for i in (2, 3, 4, 1)), end(5), receiver=receiver)

    assert rows(done) == [(1, 1), (2, 2), (3, 3), (0, 0)]
    assert (result(done).outcome, result(done).reasons) == (Outcome.COMPLETE, ())


def test_a_frame_lost_directly_before_the_end_is_missing_though_nobody_says_how_many_were_sent():
    receiver = SeriesReceiver()
    done = run(start(), data(1, 0), end(3), receiver=receiver) + receiver.tick(2.0)

    assert (result(done).outcome, result(done).missing) == (Outcome.INCOMPLETE, ((1, 1),))


def test_frames_sent_proves_how_many_were_lost_before_the_end():
    receiver = SeriesReceiver()
    done = run(start(), data(1, 0), end(3, frames_sent=11), receiver=receiver) + receiver.tick(2.0)

    assert result(done).missing == ((1, 10),)


def test_frames_that_were_dropped_do_not_count_as_sent_and_lost():
    receiver = SeriesReceiver()
    done = run(start(), data(1, 0), data(2, 3, frames_dropped=((1, 2),)), end(4, frames_sent=5), receiver=receiver)
    done += receiver.tick(2.0)

    assert result(done).missing == ((1, 2), (4, 6)), "message 3 carried three frames"


def test_messages_lost_before_the_end_are_not_more_frames_than_were_expected():
    receiver = SeriesReceiver()
    done = run(start(frames_expected=2), data(1, 0), end(6), receiver=receiver) + receiver.tick(2.0)

    assert result(done).missing == ((1, 1),)


def test_a_frame_lost_in_front_of_frames_dropped_at_the_end_is_counted_once():
    receiver = SeriesReceiver()
    done = run(start(), data(1, 0), end(3, frames_sent=2, frames_dropped=((2, 4),)), receiver=receiver)
    done += receiver.tick(2.0)

    assert result(done).missing == ((1, 4),)


def test_frames_expected_says_what_is_missing_when_no_end_comes():
    receiver = SeriesReceiver()
    done = run(start(frames_expected=10), data(1, 0), receiver=receiver) + receiver.sender_gone("gone")

    assert (result(done).missing, result(done).missing_count) == (((1, 9),), 9)


def test_an_end_whose_place_was_given_up_ends_the_series_all_the_same():
    receiver = small_window()
    done = run(start(), data(1, 0), *(data(i, 1) for i in (1000, 1001, 1002)), end(2), receiver=receiver)

    assert result(done).outcome is Outcome.INCOMPLETE
    assert receiver.state is ReceiverState.IDLE


# -- an id lower than expected, with a series-start -------------------------------------------------


def test_a_start_with_a_lower_id_is_a_restart_and_nothing_buffered_gets_into_the_new_series():
    done = run(start(50, id="a"), data(51, 0), data(53, 2), start(1, id="b"), data(2, 0), data(3, 1), end(4))

    first, second = [i.result for i in done if isinstance(i, EndSeries)]
    assert (first.received, first.reasons) == (
        1,
        ("the sender restarted", "1 message came out of order before the sender restarted"),
    )
    assert (second.outcome, second.received, rows(done)) == (Outcome.COMPLETE, 2, [(0, 0), (0, 0), (1, 1)])


def test_a_restarted_sender_without_series_ids_begins_a_new_series_with_the_same_start():
    done = run(*([start(1), data(2, 0), end(3)] * 2))

    assert [i.result.outcome for i in done if isinstance(i, EndSeries)] == [Outcome.COMPLETE] * 2


# -- an id seen before ------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [data(1, 0), data(3, 2), start(0, id="a")], ids=["handled", "waiting", "start"])
def test_a_message_that_came_before_is_dropped_and_counted(again):
    receiver = SeriesReceiver()
    done = run(start(0, id="a"), data(1, 0), data(3, 2), again, data(2, 1), end(4), receiver=receiver)

    assert rows(done) == [(0, 0), (1, 1), (2, 2)]
    assert (result(done).duplicates, result(done).outcome, receiver.duplicates) == (1, Outcome.COMPLETE, 1)


def test_two_series_that_are_sent_again_from_a_ring_do_not_start_again():
    first = [start(0, id="a"), data(1, 0), end(2)]
    second = [start(3, id="b"), data(4, 0)]
    receiver = SeriesReceiver()
    done = run(*first, *second, *first, *second, end(5), receiver=receiver)

    assert [i.result.outcome for i in done if isinstance(i, EndSeries)] == [Outcome.COMPLETE] * 2
    assert receiver.duplicates == 5


def test_a_frame_number_that_came_before_under_another_id_is_dropped_and_the_series_incomplete():
    done = run(start(), data(1, 0), data(2, 0), end(3, frames_sent=2))

    assert (rows(done), reports(done)) == ([(0, 0)], ["repeated"])
    assert (result(done).outcome, result(done).missing, result(done).received) == (Outcome.INCOMPLETE, (), 1)


def test_each_series_reports_anew_what_another_has_reported():
    first = [start(0, id="a"), data(1, 0), data(2, 0), data(3, 0), end(4)]
    second = [start(5, id="b"), data(6, 0), data(7, 0), end(8)]

    assert reports(run(*first, *second)) == ["repeated", "repeated"]


# -- nothing for longer than the time-out, or the sender gone ---------------------------------------


def test_an_idle_series_ends_as_incomplete_with_what_there_is():
    receiver = SeriesReceiver(idle_timeout_s=5.0)
    run(start(), data(1, 0), receiver=receiver)

    assert receiver.tick(4.9) == []
    ended = result(receiver.tick(5.0))
    assert (ended.outcome, ended.stored, ended.reasons) == (Outcome.INCOMPLETE, 1, ("no message for 5 s",))


def test_what_waits_is_used_before_an_idle_series_ends():
    receiver = SeriesReceiver(window=ReorderWindow(timeout_s=60.0), idle_timeout_s=5.0)
    run(start(), data(2, 1), receiver=receiver)
    done = receiver.tick(5.0)

    assert (rows(done), result(done).missing) == ([(1, 1)], ((0, 0),))


def test_when_the_sender_is_gone_what_waits_is_used_and_the_series_ends():
    receiver = SeriesReceiver()
    run(start(), data(2, 1), data(5, 4), receiver=receiver)
    done = receiver.sender_gone("the connection broke")

    assert (rows(done), result(done).missing) == ([(1, 1), (4, 4)], ((0, 0), (2, 3)))
    assert result(done).reasons[0] == "the connection broke"


def test_a_series_whose_end_waits_is_ended_by_it_when_the_sender_is_gone():
    receiver = SeriesReceiver()
    run(start(), data(1, 0), end(3), receiver=receiver)

    assert result(receiver.stop("stopped")).end == SeriesEnd(version=1, message_id=3)


def test_without_a_series_nothing_ends():
    assert SeriesReceiver(idle_timeout_s=0.0).tick(1e9) == SeriesReceiver().sender_gone("gone") == []


# -- refused messages -------------------------------------------------------------------------------


def test_a_refused_message_is_not_waited_for_and_its_frame_is_missing():
    receiver = SeriesReceiver()
    done = run(start(), data(1, 0), receiver=receiver)
    done += receiver.refuse(2, "data[0]: got 1 bytes", now=0.0)
    done += run(data(3, 2), end(4), receiver=receiver)

    assert (rows(done), reports(done)) == ([(0, 0), (2, 2)], ["refused"])
    ended = result(done)
    assert (ended.outcome, ended.missing, ended.refused) == (Outcome.INCOMPLETE, ((1, 1),), 1)
    assert "refused a message: data[0]: got 1 bytes" in ended.reasons


def test_a_refused_message_that_came_early_keeps_its_place():
    receiver = SeriesReceiver()
    done = run(start(), receiver=receiver) + receiver.refuse(2, "bad", now=0.0)
    done += run(data(1, 0), data(3, 2), end(4), receiver=receiver)

    assert (rows(done), result(done).missing) == ([(0, 0), (2, 2)], ((1, 1),))


def test_a_refused_last_message_leaves_the_series_incomplete():
    receiver = SeriesReceiver()
    done = run(start(), data(1, 0), receiver=receiver) + receiver.refuse(2, "bad", now=0.0)
    done += run(end(3), receiver=receiver)

    assert (result(done).outcome, result(done).missing) == (Outcome.INCOMPLETE, ((1, 1),))


def test_a_refused_copy_does_not_take_the_place_of_the_message_that_waits():
    receiver = SeriesReceiver()
    done = run(start(), data(2, 1), receiver=receiver) + receiver.refuse(2, "bad", now=0.0)
    done += run(data(1, 0), end(3), receiver=receiver)

    assert (rows(done), result(done).missing) == ([(0, 0), (1, 1)], ())


def test_refused_messages_far_ahead_are_bounded_by_the_window():
    receiver = small_window()
    run(start(), receiver=receiver)
    for message_id in range(2, 100):
        receiver.refuse(message_id, "bad", now=0.0)
    done = run(data(100, 5), end(101), receiver=receiver)

    assert (rows(done), result(done).missing) == ([(5, 5)], ((0, 4),))


def test_a_refused_message_without_a_number_harms_nothing():
    receiver = SeriesReceiver()
    done = receiver.refuse(None, "no JSON", now=0.0) + run(start(), data(1, 0), end(2), receiver=receiver)

    assert (reports(done), result(done).outcome) == (["refused"], Outcome.COMPLETE)


# -- dropped, discarded, retaken --------------------------------------------------------------------


def test_frames_that_the_sender_dropped_keep_an_empty_row_and_leave_the_series_incomplete():
    done = run(start(), data(1, 0), data(2, 3, frames_dropped=((1, 2),)), end(3, frames_sent=2))

    assert rows(done) == [(0, 0), (3, 3)]
    assert (result(done).missing, result(done).rows) == (((1, 2),), 4)
    assert result(done).reasons == ("2 frames are missing", "the sender dropped 2 of them")


def test_frames_dropped_last_are_missing():
    done = run(start(), data(1, 0), end(2, frames_sent=1, frames_dropped=((1, 4),)))

    assert (result(done).missing, result(done).rows) == (((1, 4),), 5)


def test_a_discarded_frame_is_counted_and_has_no_row():
    done = run(start(), data(1, 0), data(2, 1, discard=True), data(3, 2), end(4, frames_sent=3))

    assert rows(done) == [(0, 0), (2, 1)]
    assert [i.packet.header.frame_number for i in done if isinstance(i, DiscardFrame)] == [1]
    ended = result(done)
    assert (ended.outcome, ended.received, ended.stored, ended.discarded) == (Outcome.COMPLETE, 3, 2, 1)


def test_a_discarded_frame_that_comes_late_keeps_its_row_so_that_no_other_moves():
    late = data(1, 0, discard=True)
    done = run(start(), *(data(i, i - 1) for i in (2, 3, 4)), late, data(5, 4), end(6), receiver=small_window())

    assert rows(done) == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert (result(done).rows, result(done).discarded, result(done).outcome) == (5, 1, Outcome.COMPLETE)


def test_a_retake_takes_a_frame_and_all_after_it_again():
    done = run(start(), data(1, 0), data(2, 1), data(3, 2), data(4, 1, retake=True), data(5, 2), end(6, frames_sent=5))

    assert rows(done) == [(0, 0), (1, 1), (2, 2), (1, 1), (2, 2)]
    assert rewound(done) == [False, False, False, True, False]
    ended = result(done)
    assert (ended.outcome, ended.received, ended.stored, ended.retaken, ended.rows) == (Outcome.COMPLETE, 5, 3, 2, 3)


def test_a_retake_that_is_discarded_rewinds_too():
    done = run(start(), data(1, 0), data(2, 1), data(3, 0, retake=True, discard=True), data(4, 1), end(5))

    assert rewound(done) == [False, False, True, False]
    assert (result(done).stored, result(done).discarded, result(done).retaken) == (1, 1, 2)


def test_a_retake_of_discarded_frames_gives_their_rows_anew():
    done = run(start(), data(1, 0, discard=True), data(2, 1), data(3, 0, retake=True), data(4, 1), end(5))

    assert rows(done) == [(1, 0), (0, 0), (1, 1)]
    assert (result(done).discarded, result(done).retaken, result(done).rows) == (0, 2, 2)


def test_frames_lost_and_then_taken_again_are_not_missing():
    receiver = small_window(0)
    done = run(
        start(), data(1, 0), data(3, 2), data(4, 1, retake=True), data(5, 2), end(6, frames_sent=5), receiver=receiver
    )

    assert (result(done).missing, result(done).stored, result(done).retaken) == ((), 3, 1)
    assert result(done).reasons == ("message 2 did not come",)


def test_a_retake_whose_first_frame_was_dropped_leaves_that_frame_missing():
    again = data(3, 1, retake=True, frames_dropped=((0, 0),))
    done = run(start(), data(1, 0), data(2, 1), again, end(4, frames_sent=3))

    assert (rows(done)[-1], result(done).missing, result(done).retaken) == ((1, 1), ((0, 0),), 2)


def test_a_retake_that_was_dropped_whole_leaves_its_frames_missing():
    done = run(start(), data(1, 0), data(2, 1), end(3, frames_sent=2, frames_dropped=((1, 1),)))

    assert (result(done).missing, result(done).retaken, result(done).stored) == (((1, 1),), 1, 1)


def test_a_retake_that_comes_too_late_takes_nothing_away():
    receiver = small_window(0)
    done = run(start(), data(1, 0), data(3, 1), data(2, 0, retake=True), end(4), receiver=receiver)

    assert rows(done) == [(0, 0), (1, 1)]
    assert (result(done).outcome, result(done).retaken) == (Outcome.INCOMPLETE, 0)


def test_a_late_message_with_retake_fills_its_gap_and_rewinds_nothing():
    receiver = small_window(0)
    late = data(2, 1, retake=True)
    done = run(start(), data(1, 0), data(3, 2), late, end(4, frames_sent=3), receiver=receiver)

    assert (rows(done), rewound(done)) == ([(0, 0), (2, 2), (1, 1)], [False, False, False])
    assert (result(done).stored, result(done).retaken, result(done).rows) == (3, 0, 3)


def test_a_late_message_from_before_a_retake_does_not_fill_a_gap_of_the_retake():
    receiver = small_window(0)
    first_take = [data(1, 0), data(3, 2)]  # message 2 with frame 1 is late
    retake = [data(4, 0, retake=True), data(6, 2)]  # message 5 with frame 1 is lost
    done = run(start(), *first_take, *retake, data(2, 1), end(7, frames_sent=6), receiver=receiver)

    assert (rows(done), result(done).missing) == ([(0, 0), (2, 2), (0, 0), (2, 2)], ((1, 1),))


def test_a_message_from_before_a_retake_that_comes_late_is_not_missing():
    receiver = small_window(0)
    first_take = [data(1, 0), data(2, 1)]  # message 3 with frame 2 is late: the retake knows nothing of it
    retake = [data(4, 1, retake=True), data(5, 2, retake=True)]
    done = run(start(), *first_take, *retake, data(3, 2), end(6, frames_sent=5), receiver=receiver)

    assert (result(done).missing, result(done).outcome) == ((), Outcome.COMPLETE)


def test_a_frame_number_used_again_after_a_lost_retake_overwrites_nothing():
    receiver = small_window(0)
    done = run(start(), data(1, 0), data(2, 1), data(4, 1), end(5, frames_sent=4), receiver=receiver)

    assert (rows(done), result(done).missing, result(done).outcome) == ([(0, 0), (1, 1)], (), Outcome.INCOMPLETE)


# -- the end ----------------------------------------------------------------------------------------


def test_a_series_that_the_sender_aborted_is_incomplete_and_says_why():
    done = run(start(), data(1, 0), end(2, status="aborted", reason="beam lost"))

    assert (result(done).reasons, result(done).sender_reason) == (("aborted by the sender: beam lost",), "beam lost")


def test_a_sender_that_ends_a_series_in_good_order_gives_no_reason():
    done = run(start(), data(1, 0), end(2, status="finished", reason="beam lost"))

    assert (result(done).reasons, result(done).sender_reason) == ((), "")


def test_a_sender_that_aborts_without_a_word_gives_none():
    done = run(start(), data(1, 0), end(2, status="aborted"))

    assert (result(done).reasons, result(done).sender_reason) == (("aborted by the sender",), "")


def test_what_the_sender_says_of_an_abort_does_not_say_twice_that_it_is_one():
    done = run(start(), data(1, 0), end(2, status="aborted", reason="aborted on request"))

    assert result(done).reasons == ("aborted by the sender: on request",)


def test_a_sender_that_counts_fewer_than_came_is_not_believed():
    done = run(start(), data(1, 0), data(2, 1), end(3, frames_sent=1))

    assert result(done).reasons == ("the sender says that it sent 1 frames, got 2",)


def test_more_frames_than_were_expected_are_kept_and_the_series_is_incomplete():
    done = run(start(frames_expected=1), data(1, 0), data(2, 1), end(3, frames_sent=2))

    assert rows(done) == [(0, 0), (1, 1)]
    assert (result(done).outcome, result(done).missing) == (Outcome.INCOMPLETE, ())
    assert result(done).reasons == ("got frames up to 1, expected 1 frames",)


def test_several_frames_in_one_message_have_a_row_each():
    done = run(start(), data(1, 0, timestamp=(0.0, 0.1)), data(2, 2, timestamp=(0.2, 0.3)), end(3, frames_sent=4))

    assert [(i.row, i.count) for i in done if isinstance(i, StoreFrame)] == [(0, 2), (2, 2)]
    assert (result(done).stored, result(done).rows) == (4, 4)


def test_moved_keys_are_said_once_a_series_and_listed_in_the_result():
    moved = [Packet(data(i, i - 1).header, (), ("channel1",)) for i in (1, 2)]
    done = run(start(), *moved, end(3))

    assert (reports(done), result(done).moved_keys) == (["unknown-keys"], ("channel1",))


def test_the_open_series_tells_its_account_so_far():
    receiver = SeriesReceiver()
    run(start(), data(1, 0), data(2, 3, discard=True), receiver=receiver)
    so_far = receiver.account()

    assert (so_far.outcome, so_far.received, so_far.discarded) == (Outcome.INCOMPLETE, 2, 1)
    assert (so_far.missing, so_far.reasons) == (((1, 2),), ("the series is open",))


def test_without_an_open_series_there_is_no_account():
    assert SeriesReceiver().account() is None
