"""A part that is a whole message of ZeroMQ goes on as that message."""

from collections.abc import Sequence

import zmq

from ..messages import Payload

__all__ = ["whole_messages"]


def whole_messages(parts: Sequence[Payload]) -> list[Payload | zmq.Frame]:
    """The parts to be sent uncopied, as cheaply as that can be.

    For memory of Python's, pyzmq asks ZeroMQ to tell when it has been sent, and a thread hears of it: 15 us a part. A
    message that was received is only counted once more.
    """
    return [_whole_message(part) if type(part) is memoryview else part for part in parts]


def _whole_message(part: memoryview) -> Payload | zmq.Frame:
    message: object = part.obj
    return message if type(message) is zmq.Frame and len(message) == part.nbytes and part.c_contiguous else part
