"""Who connects to the port of a stream and is no recorder: a port scan, a browser, a socket of the wrong type."""

import socket as network
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import Final

import pytest
import zmq

from stins import Ack, Decoder, SeriesHeader, SeriesInfo, SeriesSender, encode
from stins.messages import Part
from stins.transport import AckSender, Publisher, Receiver
from stins.transport.peers import PeerWatch, Went

ANY = "tcp://127.0.0.1:0"
PART = (Part(name="image", shape=(64,), dtype="uint8"),)
DEADLINE_S = 20.0
#: No frame comes later than this. What waits for an ack comes never, for there is none; else it takes a millisecond.
LATE_S = 2.0
PACE_S = 0.002

_GREETING: Final = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)


def _ready(socket_type: bytes) -> bytes:
    command = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(socket_type)) + socket_type
    return struct.pack("BB", 4, len(command)) + command


def _tls_hello() -> bytes:
    said = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), said, server_hostname="dcu")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return said.read()


#: What each says once it is connected, before it goes.
PROBES: Final = {
    "nothing": b"",
    "half a greeting": _GREETING[:20],
    "a greeting and no more": _GREETING,
    "TLS": _tls_hello(),
    "64 zeros": bytes(64),
    "SMB": b"\0\0\0\x54\xffSMB" + bytes(80),
    "HTTP": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n",
    "lines": b"\r\n\r\n" * 30,
    "ZeroMQ 3": b"\xff" + bytes(7) + b"\x01\x7f\x01\x07\x00\x00",
    "another mechanism": b"\xff" * 64,
    "PUB": _GREETING + _ready(b"PUB"),
    "PULL": _GREETING + _ready(b"PULL"),
}
#: It was one peer of two for a while: what it was sent is sent again, and the recorder has some of it.
A_PEER: Final = "PULL"
#: ZeroMQ says of these, and no others, that they have never shaken hands.
KNOWN_TO_FAIL: Final = ("nothing", "half a greeting", "a greeting and no more", "another mechanism")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def wait_until(condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    deadline, pause = time.monotonic() + deadline_s, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {deadline_s} s"
        pause.wait(0.005)


def connect(stack: ExitStack, endpoint: str) -> network.socket:
    """A connection to that port."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    return stack.enter_context(network.create_connection((host, int(port))))


class Stream:
    """A publisher, and a recorder that says hello and never acks again."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.publisher = Publisher(ANY, acks=ANY, ring_bytes=1 << 20, budget_bytes=4 << 16, max_message_bytes=1 << 16)
        stack.callback(self.publisher.close, 0)
        self._sender, self._decoder = SeriesSender(), Decoder()
        self._sent_at: list[float] = []
        self.came: list[int] = []
        self.latest_s = 0.0

    def begin(self) -> None:
        """The recorder connects, says hello and takes the start of a series."""
        self.connect()
        acks = AckSender([self.publisher.acks or ""])
        self._stack.callback(acks.close, 0)
        acks.send(Ack(boot_id="boot", series_id=None, message_id=None))
        wait_until(self._is_there)
        start = self._sender.start(SeriesHeader(series=SeriesInfo(id="s")))
        assert self.publisher.send((encode(start),))
        assert self._receiver.receive(DEADLINE_S)
        assert self.publisher.replay

    def connect(self) -> None:
        self._receiver = Receiver([self.publisher.endpoint], budget_bytes=4 << 16, max_message_bytes=1 << 16)
        self._stack.callback(self._receiver.close)

    def lose_connection(self) -> None:
        self._receiver.close()

    def _is_there(self) -> bool:
        self.publisher.service()
        return self.publisher._acking() and self.publisher._peers.connected

    def flow(self, frames: int) -> None:
        """Sends so many frames, and takes what comes meanwhile."""
        for _ in range(frames):
            number = len(self._sent_at)
            self._sent_at.append(time.monotonic())
            assert self.publisher.send((encode(self._sender.data(number, data=PART)), bytes(64)))
            self._turn()

    def until_all_came(self) -> None:
        """What has been sent has come; a frame that was sent later than all others has its time, too."""
        wait_until(lambda: self._turn() or len(set(self.came)) == len(self._sent_at), LATE_S)

    def _turn(self) -> None:
        self.publisher.service()
        patience_s = PACE_S
        while parts := self._receiver.receive(patience_s):
            patience_s = 0.0
            header = self._decoder.decode(parts).header
            number = int(getattr(header, "frame_number", -1))
            if number >= 0 and number not in self.came:
                self.latest_s = max(self.latest_s, time.monotonic() - self._sent_at[number])
            if number >= 0:
                self.came.append(number)


@pytest.mark.parametrize("says", PROBES)
@pytest.mark.parametrize("who", ["recorder", "probe"])
def test_a_probe_of_the_port_takes_no_frame_and_delays_none(stack: ExitStack, who: str, says: str) -> None:
    stream = Stream(stack)
    probe = connect(stack, stream.publisher.endpoint) if who == "probe" else None
    stream.begin()
    for _ in range(3):
        probe = probe or connect(stack, stream.publisher.endpoint)
        stream.flow(5)
        probe.sendall(PROBES[says])
        stream.flow(15)
        probe.close()
        probe = None
    stream.flow(10)
    stream.until_all_came()

    assert stream.latest_s < LATE_S
    assert sorted(set(stream.came)) == list(range(70))
    # Of a probe that was there before, and only ends, nobody can know that it was not the recorder.
    if says != A_PEER and (who == "recorder" or says in KNOWN_TO_FAIL):
        assert stream.came == list(range(70)), "each once, and in order"


@pytest.mark.parametrize("probe", ["before", "behind"])
def test_what_a_broken_connection_held_is_sent_again_though_a_probe_is_there(stack: ExitStack, probe: str) -> None:
    stream = Stream(stack)
    if probe == "before":
        connect(stack, stream.publisher.endpoint)
    stream.begin()
    if probe == "behind":
        connect(stack, stream.publisher.endpoint)
    stream.flow(20)
    stream.until_all_came()
    stream.lose_connection()
    stream.came.clear()
    stream.connect()
    acks = AckSender([stream.publisher.acks or ""])
    stack.callback(acks.close, 0)
    wait_until(stream._is_there)
    acks.send(Ack(boot_id="boot", series_id=None, message_id=None))
    stream.flow(20)
    stream.until_all_came()

    assert sorted(set(stream.came)) == list(range(40))


@pytest.mark.parametrize(
    "steps",
    [
        {"+receiver": (1, 1), "+probe": (1, 2), "-probe": (1, 1), "-receiver": (0, 0, Went.THE_LAST)},
        {"+receiver": (1, 1), "+probe": (1, 2), "-receiver": (0, 1, Went.THE_LAST), "-probe": (0, 0)},
        # ZeroMQ does not say whose a handshake was: it may be that of all who had come by then.
        {"+probe": (0, 1), "+receiver": (2, 2), "-probe": (1, 1), "-receiver": (0, 0, Went.THE_LAST)},
        {
            "+probe": (0, 1),
            "+receiver": (2, 2),
            "-receiver": (1, 1, Went.ONE_OF_SEVERAL),
            "-probe": (0, 0, Went.THE_LAST),
        },
    ],
    ids=" ".join,
)
def test_only_the_end_of_who_may_be_a_peer_counts(stack: ExitStack, steps: dict[str, tuple[int, ...]]) -> None:
    socket = stack.enter_context(zmq.Context.instance().socket(zmq.PUSH))
    peers = PeerWatch(socket)
    stack.callback(peers.close)
    socket.bind(ANY)
    endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)
    there: dict[str, Receiver | network.socket] = {}
    went: list[Went] = []

    def looked(count: int, connections: int) -> bool:
        went.append(peers.look())
        return (peers.count, peers.count + len(peers._arriving)) == (count, connections)

    for step, (count, connections, *of_step) in steps.items():
        if (who := step[1:]) in there:
            there.pop(who).close()
        else:
            there[who] = Receiver([endpoint]) if who == "receiver" else connect(stack, endpoint)
            stack.callback(there[who].close)
        went.clear()
        wait_until(partial(looked, count, connections))
        assert max(went) == max(of_step, default=Went.NOBODY), step


def test_a_scan_that_never_ends_does_not_stop_a_stream_without_acks(stack: ExitStack) -> None:
    # ZeroMQ's thread stands still once some 2,000 events have not been read: three for each connection.
    publisher = Publisher(ANY)
    stack.callback(publisher.close, 0)
    for _ in range(1000):
        connect(stack, publisher.endpoint).close()
        publisher.service()
    receiver = Receiver([publisher.endpoint])
    stack.callback(receiver.close)

    assert publisher.wait_for_peer(DEADLINE_S)
    assert publisher.send((b"{}",))
    assert receiver.receive(DEADLINE_S)
