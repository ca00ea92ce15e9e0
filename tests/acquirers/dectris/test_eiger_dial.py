"""A connection that is being made: reached at the first address that answers, given up at its deadline or at once."""

import socket

import pytest
from stins_acquirers.dectris.dial import Dial
from stins_acquirers.dectris.errand import Errand

from tests.acquirers.dectris.silent_port import silent_port, wait_until_connecting


def test_the_first_address_that_answers_is_taken() -> None:
    # The name stands for ::1, where nobody listens, and for 127.0.0.1, or for that alone.
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        Dial().connect(("localhost", server.getsockname()[1]), 10) as dialled,
    ):
        dialled.sendall(b"hello")
        server.settimeout(10)
        with server.accept()[0] as accepted:
            accepted.settimeout(10)
            assert accepted.recv(5) == b"hello"


def test_a_port_where_nobody_listens_is_refused() -> None:
    with socket.socket() as keeper:
        keeper.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            Dial().connect(keeper.getsockname(), 10)


def test_a_host_that_does_not_answer_is_given_up_at_the_deadline() -> None:
    with silent_port() as port, pytest.raises(TimeoutError):
        Dial().connect(("127.0.0.1", port), 0.05)


def test_what_is_interrupted_ends_at_once() -> None:
    with silent_port() as port:
        dial = Dial()
        errand = Errand("eiger-test", lambda: dial.connect(("127.0.0.1", port), 30))
        wait_until_connecting(port)
        dial.interrupt()
        assert errand.wait(10)
        assert "InterruptedError" in str(errand.error)


def test_what_was_interrupted_before_is_not_begun() -> None:
    with silent_port() as port:
        dial = Dial()
        dial.interrupt()
        with pytest.raises(InterruptedError):
            dial.connect(("127.0.0.1", port), 30)
