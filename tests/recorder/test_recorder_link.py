"""Supervisor and writer talk without ever waiting for each other."""

import socket
from collections.abc import Iterator

import pytest
from stins_recorder.link import Answer, Line, Link, Order, WriterStatus

from stins.control import PrepareRequest, RecorderState


@pytest.fixture
def links() -> Iterator[tuple[Link, Link]]:
    here, there = socket.socketpair()
    pair = Link(here), Link(there)
    yield pair
    for link in pair:
        link.close()


def test_lines_arrive_as_they_were_sent(links: tuple[Link, Link]) -> None:
    here, there = links
    lines: list[Line] = [
        Order(number=1, what="prepare", prepare=PrepareRequest(series_id="s", filename="a\n.h5")),
        Answer(number=1, error="no"),
        WriterStatus(state=RecorderState.READY, prepared="s"),
    ]
    for line in lines:
        assert here.send(line)
    assert there.receive() == lines
    assert there.receive() == []
    assert not there.closed


def test_a_peer_that_reads_nothing_costs_statuses_and_no_time(links: tuple[Link, Link]) -> None:
    here, there = links
    status = WriterStatus(state=RecorderState.RECORDING, notes=("x" * 1000,) * 10)
    sent = [here.send(status) for _ in range(1000)]
    assert not sent[-1]
    received = there.receive()
    while more := there.receive():
        received += more
    assert 0 < len(received) < 1000
    assert here.send(Answer(number=7))
    assert (there.receive() + there.receive())[-1] == Answer(number=7)


def test_an_answer_behind_half_a_status_waits_for_its_turn(links: tuple[Link, Link]) -> None:
    here, there = links
    status = WriterStatus(state=RecorderState.RECORDING, notes=("x" * 1000,) * 10)
    while here.send(status):
        pass
    for number in (1, 2):
        here.send(Answer(number=number))
    received: list[Line] = []
    for _ in range(100):  # what waits takes three
        received += there.receive()
        here.send(status)
    assert [line.number for line in received if isinstance(line, Answer)] == [1, 2]


def test_a_peer_that_is_gone_is_noticed(links: tuple[Link, Link]) -> None:
    here, there = links
    there.close()
    assert here.receive() == []
    assert here.closed


def test_closing_twice_does_no_harm(links: tuple[Link, Link]) -> None:
    links[0].close()
    links[0].close()
