"""Takes a stream's messages from a socket for a while and hands them to the check."""

import time
from collections.abc import Callable

import zmq

from stins.findings import Report
from stins.transport import DEFAULT_BUDGET_BYTES, DEFAULT_MAX_MESSAGE_BYTES, high_water_mark
from stins.transport.sockets import connect, harden

from .stream import StreamCheck

__all__ = ["check_stream"]

_POLL_S = 0.1


def check_stream(endpoint: str, *, pull: bool, seconds: float, watch: Callable[[int], None]) -> Report:
    """Listens for `seconds`, or until one series has ended; Ctrl-C ends it early, with what came so far.

    `pull`: takes part in a PUSH socket's stream, so what comes here reaches nobody else. `watch` hears the number
    of messages.

    Raises:
        TransportError: the endpoint is none.
    """
    check = StreamCheck()
    with zmq.Context() as context, _socket(context, pull=pull) as socket:
        connect(socket, endpoint)
        began = time.monotonic()
        try:
            _listen(socket, check, began + seconds, watch)
        except KeyboardInterrupt:
            seconds = time.monotonic() - began
    check.close(round(seconds, 1))
    return Report(endpoint, "stream", check.findings, check.counts)


def _socket(context: "zmq.Context[zmq.Socket[bytes]]", *, pull: bool) -> "zmq.Socket[bytes]":
    socket = context.socket(zmq.PULL if pull else zmq.SUB)
    harden(socket)
    socket.rcvhwm = high_water_mark(DEFAULT_BUDGET_BYTES, DEFAULT_MAX_MESSAGE_BYTES)
    socket.maxmsgsize = DEFAULT_MAX_MESSAGE_BYTES
    if not pull:
        socket.subscribe(b"")
    return socket


def _listen(socket: "zmq.Socket[bytes]", check: StreamCheck, deadline: float, watch: Callable[[int], None]) -> None:
    while not check.ended and (now := time.monotonic()) < deadline:
        if socket.poll(round(1000 * min(_POLL_S, deadline - now))):
            frames = socket.recv_multipart(zmq.NOBLOCK, copy=False)
            check.take([frame.buffer for frame in frames], now)
        check.tick(now)
        watch(check.messages)
