"""What was received goes on uncopied, and what only looks like it does not lose its end."""

from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from stins.transport.sending import send_uncopied

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def sockets() -> Iterator[list[tuple[zmq.Socket[Any], zmq.Socket[Any]]]]:
    context = zmq.Context()
    pairs = [(context.socket(zmq.PUSH), context.socket(zmq.PULL)) for _ in range(2)]
    for index, (push, pull) in enumerate(pairs):
        pull.bind(f"inproc://{index}")
        push.connect(f"inproc://{index}")
    yield pairs
    context.destroy(linger=0)


def received(sockets: list[tuple[zmq.Socket[Any], zmq.Socket[Any]]]) -> memoryview:
    """A part of a message as a receiver has it."""
    push, pull = sockets[0]
    push.send(CONTENT)
    return pull.recv(copy=False).buffer


def test_a_message_can_be_sent_on_more_than_once_and_read_afterwards(
    sockets: list[tuple[zmq.Socket[Any], zmq.Socket[Any]]],
) -> None:
    part, (push, pull) = received(sockets), sockets[1]
    for _ in range(2):
        send_uncopied(push, [b"head", part])
    assert [pull.recv_multipart() for _ in range(2)] == [[b"head", CONTENT]] * 2
    assert part == CONTENT


def test_what_is_a_part_of_a_message_only_goes_on_as_that(
    sockets: list[tuple[zmq.Socket[Any], zmq.Socket[Any]]],
) -> None:
    part, (push, pull) = received(sockets), sockets[1]
    sent = [part[:100_000], memoryview(CONTENT), b"bytes", part.cast("H"), part[100_000:]]
    send_uncopied(push, sent)
    assert pull.recv_multipart() == [bytes(each) for each in sent]


def test_a_message_for_which_there_is_no_room_is_not_begun() -> None:
    with zmq.Context() as context, context.socket(zmq.PUSH) as alone, pytest.raises(zmq.Again):
        send_uncopied(alone, [b"head", CONTENT])
