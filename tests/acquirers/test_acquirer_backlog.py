"""Frames that wait: for how long, and what becomes of them."""

import threading
from collections.abc import Sequence

import pytest
from stins_acquirers.backend import Ending, Frame
from stins_acquirers.backlog import Backlog
from stins_acquirers.outbox import Outbox

from stins import SeriesHeader, StinsError
from stins.messages import Header, Payload

PATIENCE_S = 0.05


class Room:
    """A link with room or without."""

    there = True

    def send(self, parts: Sequence[Payload], timeout_s: float = 0.0, header: Header | None = None) -> bool:
        return self.there


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def backlog(room: Room) -> Backlog:
    outbox = Outbox("det", room, "tcp://127.0.0.1:9", PATIENCE_S)
    outbox.open(SeriesHeader(), ())
    backlog = Backlog(outbox, lambda: True, PATIENCE_S)
    backlog.add([Frame(number=number) for number in range(3)])
    return backlog


def time_passes() -> None:
    threading.Event().wait(2 * PATIENCE_S)


def test_a_frame_without_room_for_too_long_is_an_error(room: Room, backlog: Backlog) -> None:
    room.there = False
    assert backlog.send() is False
    time_passes()
    with pytest.raises(StinsError, match=r"no recorder took frame 0 from tcp://127.0.0.1:9 within 0.05 s"):
        backlog.send()


def test_what_found_no_room_is_counted_apart_from_what_the_source_did_not_give(room: Room) -> None:
    outbox = Outbox("det", room, "tcp://127.0.0.1:9", PATIENCE_S)
    outbox.open(SeriesHeader(), ())
    backlog = Backlog(outbox, lambda: False, PATIENCE_S)
    room.there = False
    backlog.add([Frame(number=0), Frame(number=3, frames_dropped=((1, 2),))])
    assert backlog.send() is True
    room.there = True
    outbox.close(Ending(frames_dropped=((4, 4),)))
    assert (outbox.dropped, outbox.not_given) == (5, 3)


@pytest.mark.parametrize("way_out", ["sent", "dropped"])
def test_patience_begins_anew_once_there_was_room(room: Room, backlog: Backlog, way_out: str) -> None:
    room.there = False
    assert backlog.send() is False
    room.there = way_out == "sent"
    assert (backlog.send() if room.there else backlog.drop()) is not False
    time_passes()
    room.there = False
    backlog.add([Frame(number=3)])
    assert backlog.send() is False
