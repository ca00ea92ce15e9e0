"""How a daemon process says that it is there, and how it ends."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Final, TextIO

import msgspec

__all__ = ["Ready", "announce", "on_signal", "on_stdin_closed", "read_ready"]

_ENDING: Final = (signal.SIGTERM, signal.SIGINT)


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
    """Calls `stop`, from a thread of its own, on SIGTERM and SIGINT; a second one ends the process at once.

    Does nothing but in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    # Python's own handlers run in the main thread, once that is back from what it does. If that was just about to wait
    # (as 1 % of the signals that follow a request at once found it), that is when the wait is over: perhaps never.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in _ENDING:
        signal.signal(number, lambda _number, _frame: None)

    def wait() -> None:
        _next_of_ours(reader)
        stop()
        # As a shell tells of what a signal has ended.
        os._exit(128 + _next_of_ours(reader))

    threading.Thread(target=wait, name="signals", daemon=True).start()


def _next_of_ours(reader: int) -> int:
    """The number of the next signal that ends the process; there may be others."""
    while (number := os.read(reader, 1)[0]) not in _ENDING:
        pass
    return number


def on_stdin_closed(stop: Callable[[], None]) -> None:
    """Calls `stop`, from a thread of its own, once stdin is at its end: whoever held the other end has gone."""

    def wait() -> None:
        # Unbuffered: a thread that waits inside sys.stdin would hold its lock when the interpreter ends.
        while os.read(sys.stdin.fileno(), 1):
            pass
        stop()

    threading.Thread(target=wait, name="stdin", daemon=True).start()
