"""How a daemon process says that it is there, and how it ends."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import TextIO

import msgspec

__all__ = ["Ready", "announce", "on_signal", "on_stdin_closed", "read_ready"]


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """The one line that a daemon prints on stdout once it can be used: where it is.

    `streams` are where an acquirer's recorders connect to, `acks` where they send their acks, in the same order.
    """

    process: str
    kind: str
    control: str
    pid: int
    streams: tuple[str, ...] = ()
    acks: tuple[str, ...] = ()
    live: str | None = None

    @property
    def stream(self) -> str | None:
        """The stream of an acquirer that has one."""
        return self.streams[0] if self.streams else None


def announce(ready: Ready, out: TextIO = sys.stdout) -> None:
    """Prints the line."""
    print(msgspec.json.encode(ready).decode(), file=out, flush=True)


def read_ready(line: str) -> Ready | None:
    """The value of such a line, or None for any other."""
    try:
        return msgspec.json.decode(line, type=Ready)
    except msgspec.DecodeError:
        return None


def on_signal(stop: Callable[[], None]) -> None:
    """Calls `stop` on SIGTERM and SIGINT, from the main thread; a second one ends the process at once."""

    def handler(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop()

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)
        signal.signal(signal.SIGINT, handler)


def on_stdin_closed(stop: Callable[[], None]) -> None:
    """Calls `stop`, from a thread of its own, once stdin is at its end: whoever held the other end has gone."""

    def wait() -> None:
        # Unbuffered: a thread that waits inside sys.stdin would hold its lock when the interpreter ends.
        while os.read(sys.stdin.fileno(), 1):
            pass
        stop()

    threading.Thread(target=wait, name="stdin", daemon=True).start()
