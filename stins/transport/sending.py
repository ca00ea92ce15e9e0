"""Large messages are sent uncopied, and a part that is a whole message of ZeroMQ goes on as that message."""

from collections.abc import Sequence
from typing import Any, Final

import zmq

from ..messages import Payload

__all__ = ["send_uncopied"]

#: What zmq.Socket adds to it (groups, routing ids) is of no use here, and one more call for each part.
_send: Final[Any] = zmq.backend.Socket.send
#: What is shorter is copied all the same, in bytes: in a stream that costs as much, and a message by itself leaves
#: 0.06 ms sooner, for no thread wakes to hear of it.
_SHORT: Final = 96 << 10
#: As numbers: to join the flags of an enumeration costs 1 us, and a message has several.
_LAST: Final = int(zmq.NOBLOCK)
_MORE: Final = _LAST | int(zmq.SNDMORE)


def send_uncopied(socket: zmq.Socket[Any], parts: Sequence[Payload]) -> None:
    """Queues a message, or raises `zmq.Again` where there is no room for it. Its memory must not change any more.

    For memory of Python's, pyzmq asks ZeroMQ to tell when it has been sent, and a thread hears of it: 15 us a part. A
    message that was received is only counted once more.
    """
    left = len(parts)
    for part in parts:
        left -= 1
        flags = _MORE if left else _LAST
        # Said beforehand, that it is copied: no object is made that would keep it meanwhile.
        if type(part) is not memoryview:
            _send(socket, part, flags, len(part) < _SHORT)
        elif type(message := _whole_message(part)) is zmq.Frame:
            _send(socket, message, flags, False)
        else:
            _send(socket, part, flags, part.nbytes < _SHORT)


def _whole_message(part: memoryview) -> Payload | zmq.Frame:
    message: object = part.obj
    return message if type(message) is zmq.Frame and len(message) == part.nbytes and part.c_contiguous else part
