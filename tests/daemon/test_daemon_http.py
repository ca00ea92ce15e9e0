"""The daemon's HTTP as others may speak it: by hand, slowly, wrongly, or not at all."""

import json
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from stins.daemon import HttpConfig, StatusBoard
from stins.daemon.client import DaemonClient
from stins.daemon.server import Command, ControlServer


class Status(msgspec.Struct, frozen=True, kw_only=True):
    number: int = 0
    text: str = ""


class Daemon:
    """One whose command may take as long as it is told to."""

    def __init__(self) -> None:
        self.board, self.hold, self.begun = StatusBoard(Status()), threading.Event(), threading.Event()
        commands = [
            Command(path="/echo", summary="Says it", request=Status, run=lambda status: status),
            Command(path="/hold", summary="Waits", run=self._wait),
            Command(path="/bug", summary="Has a bug", run=self._bug),
        ]
        self.server = ControlServer("test", HttpConfig(), self.board, commands)
        self.server.start()

    def _wait(self, _request: None) -> Status:
        self.begun.set()
        assert self.hold.wait(20)
        return Status(text="waited")

    def _bug(self, _request: None) -> Status:
        raise ZeroDivisionError

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", int(self.server.url.rpartition(":")[2])), 10)


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    daemon = Daemon()
    yield daemon
    daemon.hold.set()
    daemon.server.stop()


def ask(connection: socket.socket, *pieces: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and content of the answer."""
    for piece in pieces:
        connection.sendall(piece)
        time.sleep(0.002 if len(pieces) > 1 else 0)
    answer = connection.makefile("rb")
    status = int(answer.readline().split()[1])
    headers: dict[str, str] = {}
    while line := answer.readline().strip():
        name, _, value = line.decode().partition(": ")
        headers[name.lower()] = value
    return status, headers, answer.read(int(headers["content-length"])) if b"HEAD" not in pieces[0] else b""


def test_one_connection_carries_request_after_request_in_any_pieces(daemon: Daemon) -> None:
    with daemon.connect() as connection:
        request = b'POST /echo?x=1 HTTP/1.1\r\nHost: localhost\r\ncontent-length: 12\r\n\r\n{"number":7}'
        for cut in (5, 30, 60, len(request) - 3):
            status, headers, content = ask(connection, request[:cut], request[cut:])
            assert (status, json.loads(content)) == (200, {"number": 7, "text": ""})
            assert "connection" not in headers
        assert ask(connection, b"HEAD /status HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 200
        assert ask(connection, b"GET /status HTTP/1.1\r\nHost: localhost\r\nAccept: a\r\nAccept: b\r\n\r\n")[0] == 200
        status, headers, _ = ask(connection, b"GET /%73tatus HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (status, headers["connection"]) == (200, "close")
        assert connection.recv(1) == b""


@pytest.mark.parametrize(
    ("request_", "status", "problem"),
    [
        (b"HELO me\r\n\r\n", 400, "got 'HELO me', expected a request in HTTP/1.1"),
        (b"GET /" + b"x" * 70_000, 431, "got more than 65536 bytes of headers"),
        (
            b"POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            400,
            "/echo: got Content-Length '-1', expected a number",
        ),
        (b"POST /echo HTTP/1.1\r\nContent-Length: " + b"1" * 5000 + b"\r\n\r\n", 400, "/echo: got Content-Length '111"),
        (b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411, "/echo: got a body in chunks"),
        (b"POST /echo HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n", 413, "/echo: got more than 1048576 bytes"),
        (
            b"POST /echo HTTP/1.1\r\nContent-Length : 2\r\n\r\n{}",
            400,
            "got the header 'Content-Length : 2', expected NAME",
        ),
        (
            b"GET /status HTTP/1.1\r\nHost: localhost\r\n goes on\r\n\r\n",
            400,
            "got the header ' goes on', expected NAME",
        ),
        (b"GET /status HTTP/1.1\r\nHost: localhost\r\nhost: evil\r\n\r\n", 400, "got two headers host, expected one"),
        (b"POST /echo HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, "got two headers content-l"),
        (b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, "got the path '/none'; /docs lists what there is"),
        (b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "/echo: got GET"),
        (b"PUT /status HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "/status: got PUT"),
        (b"POST /bug HTTP/1.1\r\nHost: localhost\r\n\r\n", 500, "a bug: ZeroDivisionError()"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(
    daemon: Daemon, request_: bytes, status: int, problem: str
) -> None:
    with daemon.connect() as connection:
        got, _, content = ask(connection, request_)
    assert (got, json.loads(content)["error"][: len(problem)]) == (status, problem)


def test_a_header_of_blanks_does_not_hold_up_the_daemon(daemon: Daemon) -> None:
    began = time.monotonic()
    with daemon.connect() as connection:
        status, _, content = ask(connection, b"GET /status HTTP/1.1\r\nHost:" + b" " * 60_000 + b"\n\r\n\r\n")
    assert (status, json.loads(content)["error"][:22]) == (400, "got the header 'Host: ")
    assert time.monotonic() - began < 5


def test_who_asks_first_whether_to_send_is_told_to(daemon: Daemon) -> None:
    with daemon.connect() as connection:
        head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head)
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert ask(connection, b"{}")[0] == 200


def test_a_command_that_waits_holds_up_nobody_else_and_has_its_answer_when_the_daemon_ends(daemon: Daemon) -> None:
    with daemon.connect() as waiting, daemon.connect() as other:
        waiting.sendall(b"POST /hold HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert daemon.begun.wait(10)
        assert ask(other, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 200
        stopping = threading.Thread(target=daemon.server.stop)
        stopping.start()
        assert other.recv(1) == b""
        daemon.hold.set()
        assert b"waited" in waiting.recv(4096)
        stopping.join(10)


def test_one_that_reads_no_status_holds_up_nobody_and_gets_the_last_one(daemon: Daemon) -> None:
    heard: list[Status] = []
    client = DaemonClient("test", daemon.server.url, Status)
    with daemon.connect() as lazy:
        lazy.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        watch = client.watch(heard.append, lambda _: None)
        slowest = 0.0
        for number in range(1, 101):
            began = time.monotonic()
            daemon.board.publish(Status(number=number, text="x" * 100_000))
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 1.0
        received = b""
        while b'"number":100,' not in received:
            part = lazy.recv(1 << 16)
            assert part
            received = received[-200:] + part
        deadline = time.monotonic() + 20
        while not (heard and heard[-1].number == 100) and time.monotonic() < deadline:
            time.sleep(0.01)
    watch.close()
    client.close()
    assert heard[-1].number == 100


def test_who_asks_only_for_the_head_of_the_pushed_status_gets_no_more(daemon: Daemon) -> None:
    with daemon.connect() as connection:
        connection.sendall(b"HEAD /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n")
    assert b"data:" not in answer


def test_a_status_that_cannot_be_said_ends_who_listens_and_not_who_publishes(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    with daemon.connect() as connection:
        connection.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        events = connection.makefile("rb")
        while not events.readline().startswith(b"data:"):
            pass
        # A name of a file that is not UTF-8, say.
        daemon.board.publish(Status(text="\udcff"))
        assert events.read().endswith(b"\n\r\n0\r\n\r\n")
    for _ in range(2):  # as a watch does
        with daemon.connect() as connection:
            connection.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.makefile("rb").read().endswith(b"\r\n\r\n0\r\n\r\n")
    assert [record.getMessage() for record in caplog.records] == ["a status cannot be pushed: a bug"]


class _UnsayableAtOnce:
    """What cannot be said, which so many threads find out at the same time."""

    def __init__(self, threads: int) -> None:
        self._all = threading.Barrier(threads)

    def __str__(self) -> str:
        self._all.wait(10)
        raise ValueError("it has no name")


def test_a_status_that_cannot_be_said_is_logged_once_though_all_find_it_out_together(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.board.publish(Status(text=_UnsayableAtOnce(16)))
    listeners = [daemon.connect() for _ in range(16)]
    for connection in listeners:
        connection.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for connection in listeners:
        with connection:
            assert connection.makefile("rb").read().endswith(b"\r\n\r\n0\r\n\r\n")
    assert [record.getMessage() for record in caplog.records] == ["a status cannot be pushed: a bug"]
    daemon.board.publish(Status(text="said"))
    with daemon.connect() as connection:
        connection.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b'"said"' in next(line for line in connection.makefile("rb") if line.startswith(b"data:"))


def test_a_daemon_for_whose_connection_there_is_no_thread_goes_on_and_says_so(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with no_room_for_threads():
        for _ in range(3):
            with daemon.connect() as connection:
                connection.sendall(request)
                with suppress(ConnectionResetError):
                    assert connection.recv(100) == b""
    with daemon.connect() as connection:
        assert ask(connection, request)[0] == 200
    assert [record.getMessage() for record in caplog.records] == [
        "test: an HTTP connection is refused: can't start new thread"
    ]


@contextmanager
def no_room_for_threads() -> Iterator[None]:
    """Each would have a stack of 1 GiB, for which this process has no addresses."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before, limits = threading.stack_size(1 << 30), resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (256 << 20), limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        threading.stack_size(before)
