"""The HTTP client against what is no DCU, or a sick one: each error says which DCU, which step, which key, and why."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from stins_acquirers.backend import HardwareError
from stins_acquirers.dectris.errand import Errand
from stins_acquirers.dectris.simplon import NoAnswerError, Simplon, SimplonError

from stins import StinsError
from tests.acquirers.dectris.silent_port import connecting, silent_port, wait_until_connecting
from tests.acquirers.simulate_kit import RunningEiger

Answer = Callable[[BaseHTTPRequestHandler], None]
Serve = Callable[..., Simplon]


def text(content: bytes, status: int = 200) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        with suppress(ConnectionError):  # one that is too long is not read
            request.wfile.write(content)

    return answer


@pytest.fixture
def serve() -> Iterator[Serve]:
    """An HTTP server that answers everything alike, and the client that asks it and waits for `answer_s`."""
    running: list[tuple[ThreadingHTTPServer, threading.Thread, Simplon]] = []

    def serve(answer: Answer, answer_s: float = 30.0) -> Simplon:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                answer(self)

            def do_PUT(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer(self)

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, name="http")
        thread.start()
        simplon = Simplon("127.0.0.1", server.server_port, answer_s)
        simplon.version = "1.8.0"
        running.append((server, thread, simplon))
        return simplon

    yield serve
    for server, thread, simplon in running:
        simplon.close()
        server.shutdown()
        thread.join()
        server.server_close()


def test_something_that_is_no_dcu_is_told_by_what_it_answered(serve: Serve) -> None:
    simplon = serve(text(b"<html>It works!</html>"))
    with pytest.raises(
        SimplonError, match=r"DCU at http://\S+: arm: GET .*/status/state: got b'<html>It works!.*DCU\?"
    ):
        simplon.state("arm")


def test_a_server_without_simplon_is_told_and_asked_again_the_next_time(serve: Serve) -> None:
    simplon = serve(text(b"", 404))
    with pytest.raises(SimplonError, match=r"connect: it speaks none of SIMPLON 1.8.0, 1.6.0; is this the address"):
        simplon.find_version("connect")
    assert simplon.version == ""


def test_nothing_is_put_to_a_server_before_it_is_known_to_be_a_dcus(serve: Serve) -> None:
    asked: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(f"{request.command} {request.path}")
        old = request.path == "/detector/api/1.6.0/status/state"
        text(b'{"value": "idle"}' if old else b"", 200 if old else 404)(request)

    simplon = serve(answer)
    assert simplon.find_version("connect") == "1.6.0"
    # The first server knows no version, and each that it is asked for is tried.
    assert asked == [f"GET /detector/api/{rest}" for rest in ("version", "1.8.0/status/state", "1.6.0/status/state")]


def test_a_version_that_was_only_tried_when_the_dcu_refused_is_none(serve: Serve) -> None:
    simplon = serve(text(b"", 403))
    with pytest.raises(SimplonError, match="HTTP 403"):
        simplon.find_version("connect")
    assert simplon.version == ""


def test_a_dcu_that_is_not_able_to_answer_is_at_fault_and_not_who_asked(serve: Serve) -> None:
    with pytest.raises(HardwareError, match=r"GET .*count_time: HTTP 500: Bug; look at it, restart its service"):
        serve(text(b"Bug", 500)).get("arm", "count_time")


def test_a_dcu_whose_service_starts_is_to_be_waited_for(serve: Serve) -> None:
    with pytest.raises(HardwareError, match=r"HTTP 502: Bad Gateway; does its service start just now\? Wait, then arm"):
        serve(text(b"Bad Gateway", 502)).get("arm", "count_time")


def test_a_dcu_that_does_not_tell_its_version_is_tried(eiger2: RunningEiger) -> None:
    simplon = Simplon("127.0.0.1", eiger2.port, 5.0)
    eiger2.fault("http", key="detector/version", status=404)
    assert simplon.find_version("connect") == "1.8.0"
    simplon.close()


def test_an_answer_that_never_ends_is_cut_off(serve: Serve) -> None:
    def trickle(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000000")
        request.end_headers()
        try:
            while not pause.wait(0.05):
                request.wfile.write(b" ")
        except OSError:
            return

    pause = threading.Event()
    with pytest.raises(NoAnswerError, match=r"no answer within 0.5 s"):
        serve(trickle, answer_s=0.5).get("arm", "count_time")
    pause.set()


def test_a_dcu_that_goes_while_it_is_asked_is_not_one_at_a_wrong_address(serve: Serve) -> None:
    def go(request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True

    told = r"trigger: PUT .*/command/trigger: the connection broke off \(.*[^.]\); was it restarted or switched off, or"
    with pytest.raises(NoAnswerError, match=told):
        serve(go).command("trigger", "trigger", 30.0)


def test_a_dcu_that_has_closed_a_connection_meanwhile_is_asked_on_another(serve: Serve) -> None:
    asked: list[int] = []

    def once(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.client_address[1])
        text(b'{"value": 0.5}')(request)
        request.close_connection = True  # and does not say so

    simplon = serve(once)
    assert simplon.get("arm", "count_time").value == 0.5
    (kept,), deadline = simplon._connections._idle, time.monotonic() + 30
    while not kept.stale:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert simplon.get("arm", "count_time").value == 0.5
    assert len(set(asked)) == 2


@pytest.mark.parametrize(("method", "requests"), [("PUT", 2), ("GET", 3)])
def test_only_what_changes_nothing_is_asked_again_where_the_dcu_closes_just_then(method: str, requests: int) -> None:
    got: list[bytes] = []
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"value": 0.5}'
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as connection:
                got.append(connection.recv(65536))
                connection.sendall(answer)
                got.append(connection.recv(65536))
            with server.accept()[0] as connection:
                if asked := connection.recv(65536):
                    got.append(asked)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, name="closing")
        thread.start()
        simplon = Simplon("127.0.0.1", server.getsockname()[1], 30.0)
        simplon.get("arm", "count_time")
        if method == "GET":
            assert simplon.get("arm", "count_time").value == 0.5
        else:
            with pytest.raises(NoAnswerError, match=r"the connection broke off \(the connection was closed without an"):
                simplon.put("arm", "count_time", 0.5)
            socket.create_connection(server.getsockname()).close()
        thread.join(5)
        simplon.close()
    assert len(got) == requests


def test_an_answer_without_bounds_is_refused(serve: Serve) -> None:
    simplon = serve(text(b" " * (9 << 20)))
    with pytest.raises(NoAnswerError) as error:
        simplon.get("arm", "count_time")
    told = "got an answer of 9437184 bytes, expected 8388608 at most; is this a detector's DCU?"
    assert str(error.value) == f"DCU at {simplon.url}: arm: GET /detector/api/1.8.0/config/count_time: {told}"


def test_what_speaks_no_http_has_not_been_switched_off() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with server.accept()[0] as connection:
                connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")
                connection.recv(1 << 16)

        thread = threading.Thread(target=greet, name="ssh")
        thread.start()
        simplon = Simplon("127.0.0.1", server.getsockname()[1], 30.0)
        simplon.version = "1.8.0"
        with pytest.raises(NoAnswerError) as error:
            simplon.get("arm", "count_time")
        thread.join(5)
    told = "got 'SSH-2.0-OpenSSH', expected an answer in HTTP; is this a detector's DCU?"
    assert str(error.value) == f"DCU at {simplon.url}: arm: GET /detector/api/1.8.0/config/count_time: {told}"
    simplon.close()


def test_a_refusal_says_key_value_what_was_told_and_what_is_expected(serve: Serve) -> None:
    simplon = serve(text(b"value out of\nrange", 400))
    with pytest.raises(
        SimplonError, match=r"configure: PUT .*/config/nimages = 0: HTTP 400: value out of range; expect"
    ):
        simplon.put("configure", "nimages", 0, expected="1 to 9")


def test_a_command_has_no_body_unless_it_has_a_value(serve: Serve) -> None:
    told: list[tuple[str | None, str | None]] = []

    def note(request: BaseHTTPRequestHandler) -> None:
        told.append((request.headers.get("Content-Length"), request.headers.get("Content-Type")))
        text(b'{"sequence id": 7}')(request)

    simplon = serve(note)
    assert simplon.command("arm", "arm", 1.0) == 7
    simplon.command("trigger", "trigger", 1.0, 0.5)
    assert told == [("0", None), (str(len(b'{"value":0.5}')), "application/json")]


def test_a_command_without_an_answer_has_no_number(serve: Serve) -> None:
    assert serve(text(b"")).command("initialize", "initialize", 1.0) is None


def test_a_key_whose_put_answers_nothing_is_the_one_that_changed(serve: Serve) -> None:
    assert serve(text(b"")).put("arm", "mode", "enabled", "stream") == ("mode",)


def test_what_waits_for_an_answer_can_be_interrupted(serve: Serve) -> None:
    asked, pause = threading.Event(), threading.Event()

    def hang(request: BaseHTTPRequestHandler) -> None:
        asked.set()
        pause.wait(100)

    simplon = serve(hang)
    errand = Errand("eiger-test", lambda: simplon.command("trigger", "trigger", 100.0))
    assert asked.wait(30)
    simplon.interrupt()
    assert errand.wait(30)
    assert isinstance(errand.error, NoAnswerError)
    pause.set()


def test_what_is_interrupted_is_not_asked_again(serve: Serve) -> None:
    asked, pause = [threading.Event(), threading.Event()], threading.Event()

    def hang(request: BaseHTTPRequestHandler) -> None:
        if not asked[0].is_set():
            asked[0].set()
            return text(b'{"value": 0.5}')(request)
        asked[1].set()
        pause.wait(100)

    simplon = serve(hang)
    simplon.get("arm", "count_time")
    errand = Errand("eiger-test", lambda: simplon.get("watch", "count_time"))
    assert asked[1].wait(30)
    simplon.interrupt()
    assert errand.wait(10)
    assert isinstance(errand.error, NoAnswerError)
    pause.set()


def test_what_is_interrupted_while_it_connects_ends_at_once_and_is_not_asked_later() -> None:
    with silent_port() as port:
        simplon = Simplon("127.0.0.1", port, 30.0)
        errand = Errand("eiger-test", lambda: simplon.command("trigger", "trigger", 30.0))
        wait_until_connecting(port)
        simplon.interrupt()
        # No connection is given up by itself before 3 s.
        assert errand.wait(2)
        assert "the connection broke off (interrupted)" in str(errand.error)
        assert not connecting(port)
        simplon.close()


def test_what_is_closed_asks_nothing_any_more(serve: Serve) -> None:
    asked: list[str] = []

    def note(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        text(b"{}")(request)

    simplon = serve(note)
    simplon.close()
    with pytest.raises(NoAnswerError, match=r"the connection broke off \(interrupted\)"):
        simplon.get("start", "count_time")
    assert asked == []


def test_that_there_is_no_connection_is_said_only_where_one_was_tried() -> None:
    # As behind a connection that was kept, and broke off at the deadline.
    with silent_port() as port, pytest.raises(NoAnswerError, match="no answer within 0 s; it hangs, or has too much"):
        Simplon("127.0.0.1", port, 0.0).get("watch", "state")


def test_a_bug_in_an_errand_is_kept_as_its_error() -> None:
    errand = Errand("eiger-test", lambda: 1 // 0)
    assert errand.wait(30)
    assert isinstance(errand.error, StinsError)
    assert "eiger-test: bug: ZeroDivisionError" in str(errand.error)


def test_an_ipv6_address_stands_in_brackets() -> None:
    simplon = Simplon("::1", 80, 1.0)
    assert simplon.url == "http://[::1]:80"
    simplon.close()
