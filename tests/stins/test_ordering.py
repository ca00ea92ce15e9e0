"""The window that puts messages back in order is bounded in number, bytes and time."""

import pytest

from stins import Data, Packet, ReorderWindow


def packet(message_id: int, size: int = 0) -> Packet:
    return Packet(Data(version=1, message_id=message_id, frame_number=0), (bytes(size),))


def test_a_message_waits_until_it_is_taken():
    window = ReorderWindow()
    window.put(5, packet(5), now=0.0)
    window.put(3, packet(3), now=0.0)

    assert (window.first(), len(window), 5 in window) == (3, 2, True)
    assert window.take(5) == packet(5)
    assert 5 not in window


def test_taking_what_does_not_wait_is_an_error():
    with pytest.raises(KeyError):
        ReorderWindow().take(1)


def test_a_refused_message_holds_its_place_without_a_packet():
    window = ReorderWindow()
    window.put(5, "data[0]: got 1 bytes", now=0.0)

    assert window.take(5) == "data[0]: got 1 bytes"


def test_one_more_fits_as_long_as_it_does_not_use_the_window_up():
    window = ReorderWindow(count=2, size_bytes=10)
    window.put(1, packet(1, size=6), now=0.0)

    assert (window.fits(packet(2, size=4)), window.fits(packet(2, size=5))) == (True, False)

    window.put(2, packet(2), now=0.0)
    assert not window.fits("refused")


def test_the_window_is_exhausted_by_number():
    window = ReorderWindow(count=2)
    for message_id in (1, 2):
        window.put(message_id, packet(message_id), now=0.0)
    assert not window.exhausted(0.0)

    window.put(3, packet(3), now=0.0)

    assert window.exhausted(0.0)


def test_the_window_is_exhausted_by_bytes_and_recovers_when_they_are_taken():
    window = ReorderWindow(size_bytes=100)
    window.put(1, packet(1, size=101), now=0.0)
    assert window.exhausted(0.0)

    window.take(1)
    window.put(2, packet(2, size=100), now=0.0)

    assert not window.exhausted(0.0)


def test_the_window_is_exhausted_when_the_oldest_has_waited_long_enough():
    window = ReorderWindow(timeout_s=2.0)
    window.put(9, packet(9), now=10.0)
    window.put(8, packet(8), now=11.9)

    assert [window.exhausted(now) for now in (11.9, 12.0)] == [False, True]


def test_an_empty_window_is_never_exhausted():
    assert not ReorderWindow(count=0, timeout_s=0.0).exhausted(1e9)


def test_clearing_says_how_many_were_forgotten():
    window = ReorderWindow(size_bytes=10)
    window.put(1, packet(1, size=11), now=0.0)

    assert window.clear() == 1
    assert (len(window), window.exhausted(1e9)) == (0, False)
