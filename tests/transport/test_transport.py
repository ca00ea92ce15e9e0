"""STINS over ZeroMQ: real sockets on loopback, bounded on both sides."""

import os
import socket as network
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import psutil
import pytest
import zmq

from stins import StinsError
from stins.transport import (
    DEFAULT_BUDGET_BYTES,
    DEFAULT_MAX_MESSAGE_BYTES,
    LivePublisher,
    Publisher,
    Receiver,
    TransportError,
    high_water_mark,
)

MIB = 1 << 20
DEADLINE_S = 30.0


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def publisher(stack: ExitStack, endpoint: str = "tcp://127.0.0.1:0", **values: int) -> Publisher:
    made = Publisher(endpoint, **values)
    stack.callback(made.close, 0)
    return made


def receiver(stack: ExitStack, *endpoints: str, **values: int) -> Receiver:
    made = Receiver(endpoints, **values)
    stack.callback(made.close)
    return made


@pytest.fixture
def kept(stack: ExitStack) -> str:
    """An endpoint whose port the system gives to nobody else, however often it is bound and let go of."""
    # ZeroMQ binds with SO_REUSEADDR too, which lets it take a port that another one has and does not listen on.
    keeper = stack.enter_context(network.socket())
    keeper.setsockopt(network.SOL_SOCKET, network.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    return f"tcp://127.0.0.1:{keeper.getsockname()[1]}"


def wait_until(condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    deadline, pause = time.monotonic() + deadline_s, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {deadline_s} s"
        pause.wait(0.005)


def connected(receiver: Receiver, count: int = 1) -> bool:
    receiver.watch_connections()
    return receiver.connections == count


def next_message(receiver: Receiver) -> list[bytes]:
    assert receiver.socket.poll(10_000)
    parts = receiver.receive()
    assert parts is not None
    return [bytes(part) for part in parts]


# -- marks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "largest", "messages"), [(512 * MIB, 64 * MIB, 8), (64 * MIB, 512 * MIB, 2), (1 << 40, 1, 1000)]
)
def test_a_high_water_mark_comes_from_bytes(budget: int, largest: int, messages: int) -> None:
    assert high_water_mark(budget, largest) == messages


def test_the_sockets_have_their_marks_keepalive_and_limit(stack: ExitStack) -> None:
    sender = publisher(stack, budget_bytes=80 * MIB, max_message_bytes=8 * MIB)
    taker = receiver(stack, sender.endpoint, "tcp://127.0.0.1:1", budget_bytes=80 * MIB, max_message_bytes=8 * MIB)
    assert sender._socket.sndhwm == 10
    assert (taker.socket.rcvhwm, taker.socket.maxmsgsize) == (5, 8 * MIB), "the budget holds for all endpoints together"
    for socket in (sender._socket, taker.socket):
        options = (zmq.TCP_KEEPALIVE, zmq.TCP_KEEPALIVE_IDLE, zmq.TCP_KEEPALIVE_INTVL, zmq.TCP_KEEPALIVE_CNT)
        assert [socket.getsockopt(option) for option in options] == [1, 10, 5, 3]
        assert socket.linger == 0


@pytest.mark.parametrize(("acks", "limit_ms"), [(None, 0), ("tcp://127.0.0.1:0", 60_000)])
def test_a_host_that_acknowledges_nothing_is_given_up_where_what_it_lost_is_sent_again(
    stack: ExitStack, acks: str | None, limit_ms: int
) -> None:
    sender = Publisher("tcp://127.0.0.1:0", acks=acks)
    stack.callback(sender.close, 0)
    taker = receiver(stack, sender.endpoint)
    wait_until(lambda: connected(taker))
    port = int(sender.endpoint.rpartition(":")[2])
    found = psutil.Process().net_connections("tcp")
    (of_sender,) = (c.fd for c in found if c.laddr[1] == port and c.status == psutil.CONN_ESTABLISHED)
    with network.socket(fileno=os.dup(of_sender)) as connection:
        assert connection.getsockopt(network.IPPROTO_TCP, network.TCP_USER_TIMEOUT) == limit_ms


# -- publisher and receiver -----------------------------------------------------------------------


def test_port_0_becomes_the_one_that_the_system_chose(stack: ExitStack) -> None:
    endpoint = publisher(stack).endpoint
    assert int(endpoint.removeprefix("tcp://127.0.0.1:")) > 0
    with pytest.raises(TransportError, match=f"cannot bind {endpoint}: .*choose another port, or 0 for any"):
        Publisher(endpoint)


def test_an_endpoint_that_is_none_is_refused_by_name(stack: ExitStack) -> None:
    with pytest.raises(TransportError, match=r"cannot connect nowhere: .*expected tcp://HOST:PORT"):
        Receiver(["nowhere"])


def test_messages_arrive_part_for_part(stack: ExitStack) -> None:
    sender = publisher(stack)
    taker = receiver(stack, sender.endpoint)
    payload = bytes(range(256)) * 1000
    assert sender.send([b"{}", payload, b""], 10)
    assert next_message(taker) == [b"{}", payload, b""]
    assert taker.receive() is None


def test_without_a_peer_sending_returns_at_once_or_with_its_deadline(stack: ExitStack) -> None:
    sender = publisher(stack)
    begun = time.monotonic()
    assert not sender.send([b"x"])
    at_once = time.monotonic() - begun
    assert not sender.send([b"x"], 0.2)
    assert time.monotonic() - begun >= at_once + 0.2
    # One that waits for a peer does so for ever; a loaded machine takes its time for this process too.
    assert max(at_once, time.monotonic() - begun) < DEADLINE_S


def test_connections_are_counted_and_loneliness_is_timed(stack: ExitStack, kept: str) -> None:
    one, two = publisher(stack), publisher(stack, kept)
    taker = receiver(stack, one.endpoint, two.endpoint)
    assert taker.alone_for() == 0, "nobody ever came"
    wait_until(lambda: connected(taker, 2))
    one.close(0)
    wait_until(lambda: connected(taker, 1))
    assert taker.alone_for() == 0
    two.close(0)
    wait_until(lambda: connected(taker, 0))
    wait_until(lambda: taker.alone_for() > 0.05)
    publisher(stack, two.endpoint)
    wait_until(lambda: connected(taker, 1))
    assert taker.alone_for() == 0


@pytest.mark.parametrize("part", [bytes(MIB + 1), memoryview(bytes(2 * MIB)).cast("B", (2, MIB))])
def test_a_part_that_no_receiver_would_take_is_not_sent(stack: ExitStack, part: bytes | memoryview) -> None:
    sender = publisher(stack, max_message_bytes=MIB)
    taker = receiver(stack, sender.endpoint, max_message_bytes=MIB)
    size = memoryview(part).nbytes
    with pytest.raises(
        StinsError, match=rf"^part 1: got {size} bytes, expected at most 1048576 \(stream.max_message_bytes\)$"
    ):
        sender.send([b"{}", part], 10)
    assert sender.send([b"{}", bytes(MIB)], 10)
    assert next_message(taker) == [b"{}", bytes(MIB)]


def test_the_default_limit_takes_the_largest_frame_in_the_field() -> None:
    assert DEFAULT_MAX_MESSAGE_BYTES > 4150 * 4371 * 4, "EIGER 16M, uint32"
    assert high_water_mark(DEFAULT_BUDGET_BYTES, DEFAULT_MAX_MESSAGE_BYTES) == 8


@pytest.fixture
def slammed_doors() -> Iterator[tuple[str, threading.Semaphore]]:
    """A port that accepts and closes; the semaphore counts how often it did."""
    times = threading.Semaphore(0)
    with network.create_server(("127.0.0.1", 0)) as door:

        def slam() -> None:
            with suppress(OSError):
                while True:
                    door.accept()[0].close()
                    times.release()

        thread = threading.Thread(target=slam, name="door")
        thread.start()
        yield f"tcp://127.0.0.1:{door.getsockname()[1]}", times
        door.shutdown(network.SHUT_RDWR)
        thread.join(5)


def test_a_port_that_accepts_and_closes_does_not_hide_a_connected_sender(
    stack: ExitStack, slammed_doors: tuple[str, threading.Semaphore]
) -> None:
    endpoint, times = slammed_doors
    sender = publisher(stack)
    taker = receiver(stack, sender.endpoint, endpoint)
    wait_until(lambda: connected(taker, 1))
    for _ in range(4):
        assert times.acquire(timeout=10)
        taker.watch_connections()
        assert (taker.connections, taker.alone_for()) == (1, 0.0)
    sender.close(0)
    wait_until(lambda: connected(taker, 0))
    wait_until(lambda: taker.alone_for() > 0)


def test_of_two_hosts_with_one_port_the_right_one_is_connected_again(
    stack: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    sender = publisher(stack)
    port = sender.endpoint.rpartition(":")[2]
    other = publisher(stack, f"tcp://127.0.0.2:{port}")
    named = f"tcp://localhost:{port}"
    taker = receiver(stack, other.endpoint, named, max_message_bytes=MIB)
    wait_until(lambda: connected(taker, 2))
    assert sender.send([b"{}", bytes(2 * MIB)], 10)
    wait_until(lambda: connected(taker, 1))
    wait_until(lambda: connected(taker, 2))
    assert f"{named}: ZeroMQ has given up the connection" in caplog.text
    assert other.endpoint not in caplog.text


def test_a_message_larger_than_allowed_is_refused_and_the_next_ones_arrive(
    stack: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    sender = publisher(stack)
    taker = receiver(stack, sender.endpoint, max_message_bytes=MIB)
    for _ in range(2):
        wait_until(lambda: connected(taker, 1))
        assert sender.send([b"{}", bytes(2 * MIB)], 10)
        wait_until(lambda: connected(taker, 0))
        wait_until(lambda: connected(taker, 1))
        assert sender.send([b"small"], 10)
        assert next_message(taker) == [b"small"]
    assert (
        f"{sender.endpoint}: ZeroMQ has given up the connection (a message of more than 1048576 bytes?)" in caplog.text
    )


def test_a_sender_that_comes_back_is_connected_once(stack: ExitStack, kept: str) -> None:
    sender = publisher(stack, kept)
    taker = receiver(stack, kept.replace("127.0.0.1", "localhost"))
    for number in range(3):
        wait_until(lambda: connected(taker, 1))
        sender.close(0)
        wait_until(lambda: connected(taker, 0))
        pause = time.monotonic() + 0.7
        wait_until(partial(lambda until: connected(taker, 0) and time.monotonic() > until, pause))
        sender = publisher(stack, kept)
        assert sender.send([b"%d" % number], 10)
        assert next_message(taker) == [b"%d" % number]
    wait_until(lambda: connected(taker, 1))


#: Sends until nobody takes any more; says how many messages that were, and its own memory.
STUFF = """
import sys, psutil
from stins.transport import Publisher
pub = Publisher("tcp://127.0.0.1:0", budget_bytes=64 << 20, max_message_bytes=8 << 20)
print(pub.endpoint, flush=True)
pub.wait_for_room(20)
before = psutil.Process().memory_info().rss
sent = 0
while sent < 200 and pub.send([b"{}", bytes([sent]) * (8 << 20)], 0.5):
    sent += 1
print(sent, (psutil.Process().memory_info().rss - before) >> 20, flush=True)
"""


def test_a_slow_receiver_bounds_the_memory_of_both_sides(stack: ExitStack) -> None:
    process = stack.enter_context(subprocess.Popen([sys.executable, "-c", STUFF], stdout=subprocess.PIPE, text=True))
    stack.callback(process.kill)
    assert process.stdout is not None
    receiver(stack, process.stdout.readline().strip(), budget_bytes=64 * MIB, max_message_bytes=8 * MIB)
    before = psutil.Process().memory_info().rss
    sent, grown = map(int, process.stdout.readline().split())
    # 8 messages wait here, 8 there, a few are between: 200 would be 1,600 MiB.
    assert 8 <= sent < 30
    assert grown < 64 + 60
    assert psutil.Process().memory_info().rss - before < (64 + 60) * MIB


def test_a_receiver_waits_as_long_as_it_is_told_last(stack: ExitStack) -> None:
    sender = publisher(stack)
    taker = receiver(stack, sender.endpoint)
    assert (taker.receive(0.01), taker.receive(0.0)) == (None, None)
    # It waits for the message, which comes some time after the call.
    timer = threading.Timer(0.05, lambda: sender.send([b"{}"], 10))
    timer.start()
    parts = taker.receive(30.0)
    timer.join()
    assert parts is not None
    assert bytes(parts[0]) == b"{}"


# -- live view ------------------------------------------------------------------------------------


@pytest.fixture
def live(stack: ExitStack) -> LivePublisher:
    made = LivePublisher(
        "tcp://127.0.0.1:0", budget_bytes=16 * MIB, max_message_bytes=MIB, context=zmq.Context.instance()
    )
    stack.callback(made.close)
    return made


def subscriber(stack: ExitStack, live: LivePublisher) -> "zmq.Socket[bytes]":
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    stack.callback(socket.close, 0)
    socket.subscribe(b"")
    socket.connect(live.endpoint)
    return socket


def has_subscribers(live: LivePublisher, count: int) -> bool:
    live.watch_subscribers()
    return live.subscribers == count


def test_who_listens_gets_what_is_sent_and_is_counted(stack: ExitStack, live: LivePublisher) -> None:
    live.send([b"nobody listens"])
    first, second = subscriber(stack, live), subscriber(stack, live)
    wait_until(lambda: has_subscribers(live, 2))
    live.send([b"{}", b"frame"])
    for socket in (first, second):
        assert socket.poll(10_000)
        assert socket.recv_multipart() == [b"{}", b"frame"]
    first.close(0)
    wait_until(lambda: has_subscribers(live, 1))


def test_while_nobody_listens_a_message_is_not_even_looked_at(stack: ExitStack, live: LivePublisher) -> None:
    no_message: Any = ["text is no payload"]
    live.send(no_message)
    subscriber(stack, live)
    wait_until(lambda: has_subscribers(live, 1))
    with pytest.raises(TypeError, match="unicode not allowed"):
        live.send(no_message)


FROZEN = """
import sys, zmq
sub = zmq.Context().socket(zmq.SUB)
sub.rcvhwm = 2
sub.subscribe(b"")
sub.connect(sys.argv[1])
sub.recv_multipart()
print("here", flush=True)
sys.stdin.read()
"""


def test_a_subscriber_that_is_stopped_costs_it_frames_and_nobody_time(stack: ExitStack, live: LivePublisher) -> None:
    command = [sys.executable, "-c", FROZEN, live.endpoint]
    pipe = subprocess.PIPE
    process = stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
    stack.callback(process.kill)
    wait_until(lambda: has_subscribers(live, 1))
    live.send([b"hello"])
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    psutil.Process(process.pid).suspend()
    frame, slowest = bytes(MIB), 0.0
    before = psutil.Process().memory_info().rss
    for _ in range(300):
        begun = time.monotonic()
        live.send([b"{}", frame])
        slowest = max(slowest, time.monotonic() - begun)
    assert slowest < DEADLINE_S, "a send never waits: it would do so for as long as nobody reads"
    assert psutil.Process().memory_info().rss - before < 64 * MIB, "300 MiB were sent, 16 may wait"


@pytest.mark.parametrize("make", [publisher, receiver])
def test_closing_twice_does_no_harm(make: Callable[[ExitStack], Publisher | Receiver]) -> None:
    with ExitStack() as stack:
        made = make(stack)
        made.close()
