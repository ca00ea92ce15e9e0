"""What was received goes on uncopied, and what only looks like it does not lose its end."""

import zmq

from stins.transport.whole import whole_messages


def test_only_a_part_that_is_all_of_a_message_goes_on_as_that_message() -> None:
    message = zmq.Frame(b"0123456789")
    whole, begin, copy = message.buffer, message.buffer[:4], memoryview(b"0123456789")
    sent = whole_messages([whole, begin, copy, b"bytes", whole.cast("H"), whole[::-1]])
    assert sent[0] is message
    assert [bytes(part) for part in sent] == [
        b"0123456789",
        b"0123",
        b"0123456789",
        b"bytes",
        b"0123456789",
        b"9876543210",
    ]
    assert not isinstance(sent[1], zmq.Frame)


def test_a_message_can_be_sent_on_more_than_once_and_read_afterwards() -> None:
    context = zmq.Context()
    pulls, pushes = [context.socket(zmq.PULL) for _ in range(2)], [context.socket(zmq.PUSH) for _ in range(2)]
    content = bytes(range(256)) * 1000
    for index, (pull, push) in enumerate(zip(pulls, pushes, strict=True)):
        pull.bind(f"inproc://{index}")
        push.connect(f"inproc://{index}")
    pushes[0].send(content)
    part = pulls[0].recv(copy=False).buffer
    for _ in range(2):
        pushes[1].send_multipart(whole_messages([b"head", part]), copy=False)
    assert [pulls[1].recv_multipart() for _ in range(2)] == [[b"head", content]] * 2
    assert part == content
    for socket in (*pulls, *pushes):
        socket.close()
    context.term()
