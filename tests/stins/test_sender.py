"""The sender's machine: ids dense, frame numbers true, drops declared."""

import pytest

from stins import UNSET, Data, LocalProtocolError, SeriesEnd, SeriesHeader, SeriesInfo, SeriesSender, SeriesStart
from stins.sender import TRANSITIONS, SenderState


def started(first_message_id: int = 0) -> SeriesSender:
    sender = SeriesSender(first_message_id)
    sender.start(SeriesHeader())
    return sender


def test_a_series_is_start_data_end_with_dense_ids():
    sender = SeriesSender(first_message_id=7)

    assert sender.start(SeriesHeader(series=SeriesInfo(id="a"))) == SeriesStart(
        version=1, message_id=7, series=SeriesInfo(id="a")
    )
    assert sender.data(0) == Data(version=1, message_id=8, frame_number=0)
    assert sender.end() == SeriesEnd(version=1, message_id=9, frames_sent=1, status="finished")


def test_ids_go_on_over_series_and_frame_counts_begin_anew():
    sender = started()
    sender.data(0)
    sender.end()
    start = sender.start(SeriesHeader())

    assert (start.message_id, sender.frames_sent) == (3, 0)


@pytest.mark.parametrize(
    ("state", "message_type"),
    [(s, m) for s in SenderState for m in ("series-start", "data", "series-end") if (s, m) not in TRANSITIONS],
)
def test_a_message_that_the_state_does_not_allow_is_our_own_bug_and_changes_nothing(state, message_type):
    sender = started() if state is SenderState.OPEN else SeriesSender()
    calls = {
        "series-start": lambda: sender.start(SeriesHeader()),
        "data": lambda: sender.data(0),
        "series-end": sender.end,
    }

    with pytest.raises(LocalProtocolError, match=f"{message_type}.*{state.value}"):
        calls[message_type]()

    assert (sender.state, sender.frames_sent) == (state, 0)


def test_dropped_frames_are_named_once_by_the_next_message():
    sender = started()
    sender.data(0)
    sender.drop(1, 2)

    assert [sender.data(3).frames_dropped, sender.data(4).frames_dropped] == [((1, 2),), UNSET]
    assert (sender.frames_sent, sender.frames_dropped) == (3, 2)


def test_frames_dropped_last_are_named_by_the_end():
    sender = started()
    sender.drop(0, 4)

    assert sender.end("aborted", "stop").frames_dropped == ((0, 4),)


def test_a_message_that_found_no_room_gives_its_id_back_and_its_frame_is_dropped():
    sender = started()
    sender.drop(0, 0)
    sender.unsend(sender.data(1))
    after = sender.data(2)

    assert (after.message_id, after.frames_dropped, sender.frames_sent) == (1, ((0, 1),), 1)


def test_only_the_last_message_can_be_taken_back():
    sender = started()
    first = sender.data(0)
    sender.data(1)

    with pytest.raises(LocalProtocolError, match="got message_id 1 to take back, expected 2"):
        sender.unsend(first)


def test_every_message_of_a_retake_says_so_until_it_passes_the_old_end():
    sender = started()
    for frame in range(5):
        sender.data(frame)
    again = [sender.data(3, retake=True), sender.data(4), sender.data(5)]

    assert [message.retake for message in again] == [True, True, UNSET]


def test_a_retake_that_found_no_room_is_said_by_the_next_message():
    sender = started()
    for frame in range(5):
        sender.data(frame)
    sender.unsend(sender.data(3, retake=True))
    after = sender.data(4)

    assert (after.retake, after.frames_dropped) == (True, ((3, 3),))


def test_drops_that_are_taken_again_are_not_declared():
    sender = started()
    sender.data(0)
    sender.drop(1, 3)

    assert sender.data(1, retake=True).frames_dropped is UNSET


def test_several_frames_in_one_message_count_each():
    sender = started()
    sender.data(0, frames=3, timestamp=(0.0, 0.1, 0.2))

    assert sender.end().frames_sent == 3
