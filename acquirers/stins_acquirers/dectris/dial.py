"""A connection that another thread may have given up while it is being made."""

import errno
import math
import os
import select
import socket
import threading
import time
from contextlib import suppress

__all__ = ["Dial"]


class Dial:
    """One attempt to connect. A host that answers nothing would hold up for seconds whoever wants it ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._given_up = False

    def connect(self, address: tuple[str, int], timeout_s: float) -> socket.socket:
        """Connects as `socket.create_connection` does, but the time-out is for all addresses that a host has.

        Raises:
            TimeoutError: nobody answered in time.
            InterruptedError: `interrupt` was called. The name of a host is looked up to its end all the same.
            OSError: why the last of the addresses can't be reached.
        """
        deadline = time.monotonic() + timeout_s
        problem = OSError(f"{address[0]} has no address")
        for family, kind, protocol, _, found in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            dialled = socket.socket(family, kind, protocol)
            try:
                self._reach(dialled, found, deadline)
            except OSError as error:
                dialled.close()
                problem = error
                if isinstance(error, TimeoutError | InterruptedError):
                    break
            else:
                dialled.settimeout(max(deadline - time.monotonic(), 0.001))
                return dialled
        raise problem

    def interrupt(self) -> None:
        """Ends it, from another thread; what is not begun yet never is."""
        with self._lock:
            self._given_up = True
            if self._socket is not None:
                # Also of a SYN that nobody has answered: Linux takes it back, and wakes who polls.
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _reach(self, dialled: socket.socket, address: tuple[object, ...], deadline: float) -> None:
        dialled.setblocking(False)
        with self._lock:
            self._check()
            problem = dialled.connect_ex(address)
            self._socket = dialled
        if problem == errno.EINPROGRESS:
            problem = _outcome(dialled, deadline)
        with self._lock:
            self._socket = None
            self._check()
        if problem:
            raise OSError(problem, os.strerror(problem))

    def _check(self) -> None:
        if self._given_up:
            raise InterruptedError("interrupted")


def _outcome(dialled: socket.socket, deadline: float) -> int:
    poll = select.poll()
    poll.register(dialled, select.POLLOUT)
    if not poll.poll(math.ceil(max(deadline - time.monotonic(), 0.0) * 1000)):
        return errno.ETIMEDOUT
    return dialled.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
