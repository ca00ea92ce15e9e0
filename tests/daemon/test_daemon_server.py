"""HTTP control: commands, status, and who is let in."""

import io
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest

from stins import RemoteError, StinsError
from stins.daemon import HttpConfig, Ready, StatusBoard, announce, read_ready
from stins.daemon.client import DaemonClient, Watch
from stins.daemon.server import Command, ControlServer, Document


class Status(msgspec.Struct, frozen=True, kw_only=True):
    kind: str = "test"
    number: int = 0
    text: str = ""


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: int


class Daemon:
    """A daemon that does next to nothing."""

    def __init__(self, port: int = 0, token_file: Path | None = None) -> None:
        self.board = StatusBoard(Status())
        commands = [
            Command(path="/set", summary="Set the number", request=Order, run=self._set),
            Command(path="/refuse", summary="Never works", run=self._refuse),
        ]
        documents = [Document(path="/doc", summary="A text", read=self._read)]
        self.server = ControlServer(
            "test", HttpConfig(port=port, token_file=token_file), self.board, commands, documents
        )
        self.server.start()

    def _set(self, order: Order) -> Status:
        self.board.publish(Status(number=order.number))
        return self.board.status

    def _refuse(self, _request: None) -> Status:
        raise StinsError("test: it never works")

    def _read(self, which: str) -> tuple[str, bytes]:
        if which != "one":
            raise StinsError(f"no document {which!r}; there is: one")
        return "text/plain", b"one"


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    daemon = Daemon()
    yield daemon
    daemon.server.stop()
    daemon.server.stop()


@pytest.fixture
def client(daemon: Daemon) -> Iterator[DaemonClient[Status]]:
    client = DaemonClient("test", daemon.server.url, Status)
    yield client
    client.close()


def request(
    daemon: Daemon,
    method: str,
    path: str,
    *,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    with httpx.Client(trust_env=False) as http:
        return http.request(method, daemon.server.url + path, timeout=5, content=content, headers=_raw(headers or {}))


def _raw(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    # httpx encodes a header's text as ASCII.
    return {key.encode(): value.encode() for key, value in headers.items()}


def test_a_command_is_carried_out_and_answered_with_the_status(client: DaemonClient[Status]) -> None:
    assert client.post("/set", Order(7)) == Status(number=7)
    assert client.post("/set", {"number": 8}).number == 8
    assert client.status() == Status(number=8)
    assert client.get("/doc/one") == b"one"


def test_a_number_of_numpy_is_a_number(client: DaemonClient[Status]) -> None:
    assert client.post("/set", {"number": np.int64(9)}).number == 9
    with pytest.raises(TypeError, match="expected what JSON has"):
        client.post("/set", {"number": object()})


def test_a_command_that_fails_is_a_409_and_its_reason_reaches_the_caller(
    daemon: Daemon, client: DaemonClient[Status]
) -> None:
    assert request(daemon, "POST", "/refuse").status_code == 409
    with pytest.raises(RemoteError) as refusal:
        client.post("/refuse")
    assert str(refusal.value) == f"test: refuse failed at {daemon.server.url}: test: it never works"


@pytest.mark.parametrize("body", [b'{"number": "x"}', b'{"number": 1, "more": 2}', b"{", b"[" * 5000, b"\xff"])
def test_a_request_that_is_not_understood_is_a_422_that_says_what_is_wrong(daemon: Daemon, body: bytes) -> None:
    reply = request(daemon, "POST", "/set", content=body)
    assert reply.status_code == 422
    assert reply.json()["error"].startswith("/set: ")
    assert daemon.board.status == Status()


def test_a_request_that_does_not_end_is_refused_before_it_fills_the_memory(daemon: Daemon) -> None:
    reply = request(daemon, "POST", "/set", content=b" " * (2 << 20))
    assert (reply.status_code, reply.json()["error"][:19]) == (413, "/set: got more than")


def test_a_document_that_is_not_there_is_a_404(daemon: Daemon) -> None:
    reply = request(daemon, "GET", "/doc/two")
    assert (reply.status_code, reply.json()) == (404, {"error": "no document 'two'; there is: one"})


@pytest.mark.parametrize("path", ["/status", "/events", "/metrics", "/openapi.json", "/docs"])
def test_a_foreign_host_is_refused_everywhere(daemon: Daemon, path: str) -> None:
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
        reply = request(daemon, "GET", path, headers={"Host": host})
        assert (reply.status_code, "Host: got" in reply.text) == (403, True)


def test_local_hosts_are_answered(daemon: Daemon) -> None:
    for host in ("localhost", "127.0.0.1:80", "[::1]:1234", "[::1]"):
        assert request(daemon, "GET", "/status", headers={"Host": host}).status_code == 200, host


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1"])
def test_a_web_page_cannot_give_commands(daemon: Daemon, origin: str) -> None:
    reply = request(daemon, "POST", "/set", content=b'{"number": 1}', headers={"Origin": origin})
    assert reply.status_code == 403
    assert daemon.board.status.number == 0


def test_with_a_token_only_who_has_it_is_let_in(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    token.chmod(0o600)
    daemon = Daemon(token_file=token)
    try:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "secret"},
            {"Authorization": "sécret"},
        ):
            assert request(daemon, "GET", "/status", headers=headers).status_code == 401
        client = DaemonClient("test", daemon.server.url, Status, token="secret")  # noqa: S106  # a test's
        assert client.post("/set", Order(1)).number == 1
        client.close()
    finally:
        daemon.server.stop()


def test_metrics_and_description_are_there(daemon: Daemon) -> None:
    assert "stins_test_number 0" in request(daemon, "GET", "/metrics").text
    schema = request(daemon, "GET", "/openapi.json").json()
    assert {"/set", "/refuse", "/status", "/events", "/doc/{which}"} <= set(schema["paths"])
    body = schema["paths"]["/set"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/Order"}
    assert schema["components"]["schemas"]["Order"]["properties"] == {"number": {"type": "integer"}}
    assert request(daemon, "GET", "/healthz").json() == {"alive": True}


def test_the_page_for_people_names_each_command_and_loads_nothing_from_elsewhere(daemon: Daemon) -> None:
    page = request(daemon, "GET", "/docs").text
    assert "POST /set" in page
    assert "&quot;number&quot;" in page
    assert not re.search(r"(src|href)=['\"]?(https?:)?//", page)


# -- the pushed status ----------------------------------------------------------------------------


class State(Enum):
    IDLE = "idle"
    FAULT = "fault"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    state: State = State.IDLE
    reason: str = ""


def test_readiness_is_refused_in_fault_with_the_reason() -> None:
    board = StatusBoard(Machine())
    server = ControlServer("test", HttpConfig(), board, [])
    server.start()
    try:
        with httpx.Client(base_url=server.url, trust_env=False) as http:
            ready = http.get("/readyz")
            board.publish(Machine(state=State.FAULT, reason="disk full"))
            fault, alive = http.get("/readyz"), http.get("/healthz")
    finally:
        server.stop()
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "state": "idle", "reason": ""})
    assert (fault.status_code, fault.json()) == (503, {"ready": False, "state": "fault", "reason": "disk full"})
    assert alive.status_code == 200


def test_every_loopback_address_answers_under_its_own_name() -> None:
    server = ControlServer("test", HttpConfig(host="127.0.0.2"), StatusBoard(Status()), [])
    server.start()
    client = DaemonClient("test", server.url, Status)
    try:
        assert client.status() == Status()
    finally:
        client.close()
        server.stop()


class Heard:
    """What a watch reported."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.states: list[Status] = []
        self.losses: list[str] = []

    def state(self, status: Status) -> None:
        with self._changed:
            self.states.append(status)
            self._changed.notify_all()

    def loss(self, why: str) -> None:
        with self._changed:
            self.losses.append(why)
            self._changed.notify_all()

    def wait(self, condition: Callable[[], object], deadline_s: float = 10) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, deadline_s), (self.states, self.losses)


@pytest.fixture
def watching() -> Iterator[Callable[[DaemonClient[Status]], Heard]]:
    watches: list[Watch[Status]] = []

    def watch(client: DaemonClient[Status]) -> Heard:
        heard = Heard()
        watches.append(client.watch(heard.state, heard.loss))
        return heard

    yield watch
    for made in watches:
        made.close()
        made.close()


Watching = Callable[[DaemonClient[Status]], Heard]


def test_changes_are_pushed_in_order_and_the_last_one_always_arrives(
    daemon: Daemon, client: DaemonClient[Status], watching: Watching
) -> None:
    heard = watching(client)
    heard.wait(lambda: heard.states)
    for number in range(1, 200):
        daemon.board.publish(Status(number=number))
    heard.wait(lambda: heard.states[-1].number == 199)
    numbers = [status.number for status in heard.states]
    assert numbers == sorted(numbers)


def test_a_heartbeat_comes_without_any_change(client: DaemonClient[Status], watching: Watching) -> None:
    heard = watching(client)
    heard.wait(lambda: len(heard.states) >= 3, 4)
    assert heard.states == [Status()] * len(heard.states)
    assert heard.losses == []


def test_a_watch_notices_the_end_and_comes_back(
    daemon: Daemon, client: DaemonClient[Status], watching: Watching
) -> None:
    heard = watching(client)
    heard.wait(lambda: heard.states)
    port = int(daemon.server.url.rpartition(":")[2])
    daemon.server.stop()
    heard.wait(lambda: heard.losses)
    assert "test: " in heard.losses[0]
    assert daemon.server.url in heard.losses[0]
    again = Daemon(port)
    try:
        again.board.publish(Status(number=5))
        heard.wait(lambda: heard.states[-1].number == 5)
    finally:
        again.server.stop()


def test_a_watch_notices_silence() -> None:
    heard = Heard()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        client = DaemonClient("mute", url, Status)
        watch = client.watch(heard.state, heard.loss)
        connection, _ = silent.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            heard.wait(lambda: heard.losses, 5)
    watch.close()
    client.close()
    assert heard.losses[0] == f"mute: status at {url}: no heartbeat for 3 s; is the process stopped or overloaded?"


def test_a_call_to_nobody_or_to_somebody_who_is_silent_ends_with_its_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        client = DaemonClient("mute", url, Status)
        with pytest.raises(RemoteError, match=f"mute: status failed at {url}: no answer within 0.2 s"):
            client.status(timeout_s=0.2)
        client.close()
    client = DaemonClient("mute", url, Status)
    with pytest.raises(RemoteError, match=f"mute: arm failed at {url}: .*is the process running"):
        client.post("/arm")
    client.close()


def test_a_trickle_of_an_answer_ends_with_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as slow:
        ended = threading.Event()

        def trickle() -> None:
            connection, _ = slow.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while not ended.wait(0.05):
                    connection.sendall(b"{")

        thread = threading.Thread(target=trickle, name="trickle")
        thread.start()
        client = DaemonClient("slow", f"http://127.0.0.1:{slow.getsockname()[1]}", Status)
        begun = time.monotonic()
        with pytest.raises(RemoteError, match=r"slow: status failed at .*: no answer within 0.3 s"):
            client.status(timeout_s=0.3)
        assert time.monotonic() - begun < 2
        client.close()
        ended.set()
        thread.join(5)


class Other(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The status of some other daemon."""

    temperature: float


def test_the_status_of_another_daemon_is_refused_by_name(daemon: Daemon) -> None:
    client = DaemonClient("cooler", daemon.server.url, Other)
    for call in (client.status, lambda: client.post("/set", Order(1))):
        with pytest.raises(RemoteError, match=r"""got b'{"kind":"test".*is this the right endpoint\?"""):
            call()
    heard = Heard()
    client.watch(lambda _status: None, heard.loss)
    heard.wait(lambda: heard.losses)
    client.close()
    assert heard.losses[0].endswith("is this the right endpoint?")


def test_a_watch_outlives_an_error_in_what_it_calls(daemon: Daemon, caplog: pytest.LogCaptureFixture) -> None:
    client, heard = DaemonClient("test", daemon.server.url, Status), Heard()

    def changed(status: Status) -> None:
        if status.number == 0:
            raise ValueError("bug one")
        heard.state(status)

    def lost(why: str) -> None:
        heard.loss(why)
        raise ValueError("bug two")

    client.watch(changed, lost)
    heard.wait(lambda: heard.losses)
    daemon.board.publish(Status(number=1))
    heard.wait(lambda: heard.states)
    client.close()
    assert heard.losses[0] == (f"test: a status from {daemon.server.url} could not be handled: ValueError('bug one')")
    assert "bug one" in caplog.text
    assert "bug two" in caplog.text


def test_closing_a_client_ends_its_watches_at_once_and_in_silence(daemon: Daemon) -> None:
    client, heard = DaemonClient("test", daemon.server.url, Status), Heard()
    watch = client.watch(heard.state, heard.loss)
    heard.wait(lambda: heard.states)
    begun = time.monotonic()
    client.close()
    assert time.monotonic() - begun < 0.6, "a heartbeat would take a second"
    assert (watch._thread.is_alive(), heard.losses) == (False, [])


# -- board and ready line -------------------------------------------------------------------------


def test_listeners_hear_of_changes_only_and_of_the_end() -> None:
    board, calls = StatusBoard(Status()), []
    forget = board.listen(lambda: calls.append(board.status.number))
    board.publish(Status())
    board.publish(Status(number=1))
    board.close()
    forget()
    board.publish(Status(number=2))
    assert (calls, board.closed) == ([1, 1], True)


def test_a_ready_line_is_read_back_and_any_other_is_none() -> None:
    out = io.StringIO()
    ready = Ready(process="r", kind="recorder", control="http://127.0.0.1:1", pid=1, live="tcp://127.0.0.1:2")
    announce(ready, out)
    assert read_ready(out.getvalue()) == ready
    assert json.loads(out.getvalue())["pid"] == 1
    assert [read_ready(line) for line in ("", "hello\n", "{}", '{"process": 1}')] == [None] * 4
