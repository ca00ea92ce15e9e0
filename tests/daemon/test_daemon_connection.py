"""The client's HTTP: one connection for many commands, whatever the other end answers."""

import queue
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
import pytest

from stins import RemoteError
from stins.daemon import HttpConfig, StatusBoard
from stins.daemon.client import DaemonClient
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


@pytest.mark.parametrize(
    ("pieces", "problem"),
    [
        ([b"SSH-2.0-OpenSSH\r\n\r\n"], "got 'SSH-2.0-OpenSSH', expected an answer in HTTP"),
        ([b"x" * 70000], "got b'xxx.*expected an answer in HTTP"),
        (
            [CHUNKED + b"long\r\n"],
            "got b'long', expected the length of a chunk",
        ),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"], "the connection was closed in mid-answer"),
        ([], "the connection was closed without an answer"),
        (["HTTP/1.1 20² OK\r\n\r\n".encode("latin-1")], "got 'HTTP/1.1 20² OK', expected an answer in HTTP"),
        (
            ["HTTP/1.1 200 OK\r\nContent-Length: ²\r\n\r\n".encode("latin-1")],
            "got Content-Length '²', expected a number",
        ),
        (
            [b"HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n"],
            "got an answer of 5000000000 bytes, expected 268435456 at most",
        ),
        ([CHUNKED + b"ffffffffff\r\n"], "got an answer of 1099511627775 bytes, expected 268435456 at most"),
    ],
)
def test_an_answer_that_is_none_is_an_error_with_what_came(pieces: list[bytes], problem: str) -> None:
    with (
        answering(pieces) as (client, _),
        pytest.raises(RemoteError, match=f"other: set failed at http://.*: {problem}; is the process running"),
    ):
        client.post("/set")


@pytest.mark.parametrize("url", ["", "localhost:1", "ftp://localhost", "http://:80", "http://localhost:port"])
def test_what_is_no_address_is_said(url: str) -> None:
    client = DaemonClient("other", url, Status)
    with pytest.raises(RemoteError, match=r"got the URL '.*', expected http://HOST:PORT"):
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
