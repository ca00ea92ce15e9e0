"""How a daemon ends: by a signal, whatever its main thread is at."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

DEADLINE_S = 20.0
#: A signal goes to the thread that does not block it. So the main thread is not woken, as by one that comes just before
#: it begins to wait.
WAITING = """
import signal, threading
from stins.daemon import on_signal

stopped = threading.Event()
threading.Thread(target=threading.Event().wait, daemon=True).start()
on_signal(stopped.set)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
print("waits", flush=True)
stopped.wait()
print("stopped", flush=True)
"""
#: One that does not end when it is told to.
STUBBORN = """
import threading
from stins.daemon import on_signal

on_signal(lambda: print("stopped", flush=True))
print("waits", flush=True)
threading.Event().wait()
"""


@contextmanager
def running(program: str) -> "Iterator[subprocess.Popen[str]]":
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "waits\n"
        yield process
    finally:
        process.kill()
        process.wait(DEADLINE_S)
        process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_the_main_thread_does_not_see_ends_it(number: signal.Signals) -> None:
    with running(WAITING) as process:
        process.send_signal(number)
        assert process.wait(DEADLINE_S) == 0


def test_a_second_signal_ends_it_at_once() -> None:
    with running(STUBBORN) as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "stopped\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 128 + signal.SIGTERM
