"""The client's HTTP: one connection for many commands, whatever the other end answers."""

import queue
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import msgspec
import pytest

from stins import RemoteError
from stins.daemon import HttpConfig, StatusBoard
from stins.daemon.client import DaemonClient, _lines
from stins.daemon.connection import Address, Connection, NoHttpError
from stins.daemon.server import Command, ControlServer

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Status(msgspec.Struct, frozen=True, kw_only=True):
    number: int = 0


@contextmanager
def answering(*answers: Sequence[bytes]) -> Iterator[tuple[DaemonClient[Status], list[bytes]]]:
    """A client, and the requests of its connections: each is answered once, in these pieces, and closed."""
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for pieces in answers:
                connection, _ = server.accept()
                with connection:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    requests.append(connection.recv(65536))
                    for piece in pieces:
                        connection.sendall(piece)

        thread = threading.Thread(target=serve, name="answering")
        thread.start()
        client = DaemonClient("other", f"http://127.0.0.1:{server.getsockname()[1]}/below", Status)
        yield client, requests
        client.close()
        thread.join(5)


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", b'{"num', b'ber":7}\n'],
        [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r",
            b'\n3;x=1\r\n{"n\r\n8\r',
            b'\number":7\r\n1\r\n}\r\n0\r\n\r\n',
        ],
        [b'HTTP/1.0 200 OK\r\nServer: old\r\n\r\n{"number"', b":7}"],
        [
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
            b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"number":7}\n',
        ],
    ],
    ids=["length", "chunks", "until it ends", "announced"],
)
def test_an_answer_is_read_however_it_comes(pieces: list[bytes]) -> None:
    with answering(pieces) as (client, requests):
        assert client.post("/set", {"number": 7}).number == 7
    assert requests[0].startswith(b"POST /below/set HTTP/1.1\r\nHost: 127.0.0.1:")
    assert requests[0].endswith(b'Content-Length: 12\r\n\r\n{"number":7}')


NOT_HTTP, NOBODY = "is this the right endpoint?", "is the process running? (stins status)"


@pytest.mark.parametrize(
    ("pieces", "problem", "remedy"),
    [
        ([b"SSH-2.0-OpenSSH\r\n\r\n"], "got 'SSH-2.0-OpenSSH', expected an answer in HTTP", NOT_HTTP),
        ([b"SSH-2.0-OpenSSH\r\n"], "got 'SSH-2.0-OpenSSH', expected an answer in HTTP", NOT_HTTP),
        (
            [b"HTTP/1.1 200 OK\r\n" + b"x" * 70000],
            f"got {b'HTTP/1.1 200 OK' + bytes((13, 10)) + b'x' * 23!r}, expected an answer in HTTP",
            NOT_HTTP,
        ),
        ([CHUNKED + b"long\r\n"], "got b'long', expected the length of a chunk", NOT_HTTP),
        ([CHUNKED + b"-5\r\n\r\n"], "got b'-5', expected the length of a chunk", NOT_HTTP),
        ([CHUNKED + b"f" * 5000 + b"\r\n"], f"got {b'f' * 40!r}, expected the length of a chunk", NOT_HTTP),
        (
            [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"],
            "the connection was closed in mid-answer",
            NOBODY,
        ),
        ([], "the connection was closed without an answer", NOBODY),
        (
            ["HTTP/1.1 20² OK\r\n\r\n".encode("latin-1")],
            "got 'HTTP/1.1 20² OK', expected an answer in HTTP",
            NOT_HTTP,
        ),
        (
            ["HTTP/1.1 200 OK\r\nContent-Length: ²\r\n\r\n".encode("latin-1")],
            "got Content-Length '²', expected a number",
            NOT_HTTP,
        ),
        (
            [b"HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n"],
            "got an answer of 5000000000 bytes, expected 268435456 at most",
            NOT_HTTP,
        ),
        (
            [CHUNKED + b"ffffffffff\r\n"],
            "got an answer of 1099511627775 bytes, expected 268435456 at most",
            NOT_HTTP,
        ),
    ],
)
def test_an_answer_that_is_none_is_an_error_with_what_came(pieces: list[bytes], problem: str, remedy: str) -> None:
    with answering(pieces) as (client, _):
        with pytest.raises(RemoteError) as error:
            client.post("/set")
        assert str(error.value) == f"other: set failed at {client.url}: {problem}; {remedy}"


def test_a_watch_on_what_is_no_daemon_says_so() -> None:
    with answering([b"SSH-2.0-OpenSSH\r\n\r\n"]) as (client, _):
        lost: queue.SimpleQueue[str] = queue.SimpleQueue()
        watch = client.watch(lambda _: None, lost.put)
        why = lost.get(timeout=10)
        watch.close()
        problem = "got 'SSH-2.0-OpenSSH', expected an answer in HTTP; is this the right endpoint?"
        assert why == f"other: status at {client.url}: {problem}"


@contextmanager
def talking(first: bytes, for_ever: bytes) -> Iterator[str]:
    """The URL of one who says that to all who come, and does not stop."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            with server.accept()[0] as connection, suppress(OSError):
                connection.sendall(first)
                while for_ever:
                    connection.sendall(for_ever)
                connection.settimeout(10)
                connection.recv(1 << 16)

        thread = threading.Thread(target=talk, name="talking")
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(20)


@pytest.mark.parametrize(
    ("first", "for_ever"),
    [
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 1000),
        (CHUNKED + b"0\r\n", b"X: y\r\n" * 1000),
        (CHUNKED, b"1\r\n{\r\n" * 1000),
    ],
    ids=["announced", "headers behind it", "chunks"],
)
def test_an_answer_that_comes_without_a_pause_and_never_ends_is_not_waited_for(first: bytes, for_ever: bytes) -> None:
    with talking(first, for_ever) as url:
        client = DaemonClient("other", url, Status)
        began = time.monotonic()
        with pytest.raises(RemoteError, match=r"no answer within 0\.2 s"):
            client.status(timeout_s=0.2)
        assert time.monotonic() - began < 5
        client.close()


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", CHUNKED + b"3e9\r\n"], ids=["length", "chunk"]
)
def test_an_answer_that_will_be_too_long_is_refused_before_it_comes(head: bytes) -> None:
    with talking(head, b"") as url, Connection(Address.of(url, None), 5) as connection:
        connection.begin("GET", "/status", None)
        with pytest.raises(NoHttpError, match="got an answer of 1001 bytes, expected 1000 at most"):
            connection.answer(time.monotonic() + 5, 1000)


def test_a_connection_that_is_to_be_closed_is_not_kept_however_that_is_said() -> None:
    said = b"HTTP/1.1 200 OK\r\nConnection: x-other , Close\r\nContent-Length: 2\r\n\r\n{}"
    with answering([said]) as (client, _):
        client.status()
        assert not client._idle


@pytest.mark.parametrize(
    "url", ["", "localhost:1", "ftp://localhost", "http://:80", "http://localhost:port", "https://a\0b:1"]
)
def test_what_is_no_address_is_said(url: str) -> None:
    client = DaemonClient("other", url, Status)
    with pytest.raises(RemoteError, match=r"got the URL '.*', expected http://HOST:PORT; is this the right endpoint"):
        client.status()
    client.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_host_that_can_have_no_such_name_is_said(scheme: str) -> None:
    client = DaemonClient("other", f"{scheme}://{'x' * 70}:80", Status)
    with pytest.raises(RemoteError, match=r"got the host 'x+': .*; is this the right endpoint\?"):
        client.status()
    client.close()


class Daemon:
    """A real one."""

    def __init__(self, port: int = 0) -> None:
        self.said: queue.SimpleQueue[int] = queue.SimpleQueue()
        commands = [Command(path="/set", summary="Set", request=Status, run=self._set)]
        self.server = ControlServer("test", HttpConfig(port=port), StatusBoard(Status()), commands)
        self.server.start()
        self.port = int(self.server.url.rpartition(":")[2])

    def _set(self, request: Status) -> Status:
        self.said.put(request.number)
        return request


def test_a_connection_is_used_again_and_one_to_a_daemon_that_has_gone_is_not_missed() -> None:
    daemon = Daemon()
    client = DaemonClient("test", daemon.server.url, Status)
    try:
        client.post("/set", {"number": 1})
        (kept,) = client._idle
        client.post("/set", {"number": 2})
        assert list(client._idle) == [kept]
        daemon.server.stop()
        daemon = Daemon(daemon.port)
        assert client.post("/set", {"number": 3}).number == 3
        assert list(client._idle) != [kept]
    finally:
        client.close()
        daemon.server.stop()


def test_a_command_that_is_begun_is_carried_out_before_its_answer_is_asked_for() -> None:
    daemon = Daemon()
    client = DaemonClient("test", daemon.server.url, Status)
    try:
        assert client.begin("/set", Status(number=1)) is None
        client.post("/set", Status(number=2))
        answer = client.begin("/set", Status(number=3))
        assert [daemon.said.get(timeout=5) for _ in range(2)] == [2, 3]
        assert answer is not None
        assert answer(5).number == 3
        assert len(client._idle) == 1
    finally:
        client.close()
        daemon.server.stop()


def test_a_command_that_cannot_be_said_leaves_the_connection_for_the_next() -> None:
    daemon = Daemon()
    client = DaemonClient("test", daemon.server.url, Status)
    try:
        client.status()
        with pytest.raises(TypeError, match="expected what JSON has"):
            client.begin("/set", Status(number=object()))  # type: ignore[arg-type]  # a plan's mistake
        assert len(client._idle) == 1
    finally:
        client.close()
        daemon.server.stop()


def test_a_command_is_not_begun_for_a_daemon_that_has_gone() -> None:
    daemon = Daemon()
    client = DaemonClient("test", daemon.server.url, Status)
    try:
        client.post("/set", Status(number=1))
        daemon.server.stop()
        daemon = Daemon(daemon.port)
        assert client.begin("/set", Status(number=2)) is None
        assert client.post("/set", Status(number=2)).number == 2
    finally:
        client.close()
        daemon.server.stop()


def test_a_connection_that_the_daemon_is_about_to_close_is_not_used() -> None:
    daemon = Daemon()
    client = DaemonClient("test", daemon.server.url, Status)
    try:
        client.post("/set", {"number": 1})
        (kept,) = client._idle
        kept._used = time.monotonic() - 4
        client.post("/set", {"number": 2})
        assert kept not in client._idle
    finally:
        client.close()
        daemon.server.stop()


@pytest.mark.parametrize(("method", "requests"), [("POST", 2), ("GET", 3)])
def test_a_command_that_may_have_been_carried_out_is_not_given_again(method: str, requests: int) -> None:
    got: list[bytes] = []
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as connection:
                got.append(connection.recv(65536))
                connection.sendall(answer)
                got.append(connection.recv(65536))  # and then it is killed
            with server.accept()[0] as connection:
                got.append(connection.recv(65536))
                connection.sendall(answer)

        thread = threading.Thread(target=serve, name="killed")
        thread.start()
        client = DaemonClient("test", f"http://127.0.0.1:{server.getsockname()[1]}", Status)
        client.status()
        if method == "POST":
            with pytest.raises(RemoteError, match="the connection was closed without an answer"):
                client.post("/set")
        else:
            client.status()
        assert len(got) == requests
        client.close()
        with socket.create_connection(server.getsockname()):
            pass
        thread.join(5)


def test_who_waits_to_send_to_one_that_talks_and_does_not_read_takes_no_time_of_the_processor() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = DaemonClient("test", f"http://127.0.0.1:{server.getsockname()[1]}", Status)
        over = threading.Event()

        def talk() -> None:
            with server.accept()[0] as connection:
                connection.sendall(b"HTTP/1.1 413 Too Large\r\n")
                over.wait(10)

        talking = threading.Thread(target=talk, name="talking")
        talking.start()
        began = time.thread_time()
        with pytest.raises(RemoteError, match=r"no answer within 0\.6 s"):
            client.post("/set", {"text": "x" * 12_000_000}, timeout_s=0.6)
        assert time.thread_time() - began < 0.12
        over.set()
        talking.join(5)
        client.close()


def test_a_status_without_end_is_not_kept() -> None:
    with answering([b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * (1 << 20)] * 6]) as (client, _):
        lost: list[str] = []
        told = threading.Event()
        watch = client.watch(lambda _: None, lambda why: (lost.append(why), told.set()))
        assert told.wait(10)
        watch.close()
    assert "got a line of more than 4194304 bytes, expected a status" in lost[0]


def test_a_line_that_comes_byte_by_byte_takes_the_time_that_it_is_long() -> None:
    """A line may have 4 MiB: were it looked at again with each byte, these would take seconds already."""
    parts = [b"x"] * 100_000
    began = time.thread_time()
    assert list(_lines([*parts, b"\n\nda", b"ta\n", b"rest"])) == [b"x" * len(parts), b"", b"data"]
    assert time.thread_time() - began < 0.5
