"""A TCP connection that can be cut, and mended: nobody at its ends has gone."""

import selectors
import socket
import threading
from contextlib import suppress
from typing import Self

__all__ = ["Cable"]

_LOOK_S = 0.01


class Cable:
    """Leads from a port of its own, `endpoint`, to the endpoint given."""

    def __init__(self, endpoint: str) -> None:
        host, _, port = endpoint.removeprefix("tcp://").partition(":")
        self._target = host, int(port)
        self._door = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._door.getsockname()[1]}"
        self._whole = True
        self._ended = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._door, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="cable", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._thread.join(10)
        self._drop()
        self._selector.close()
        self._door.close()

    def cut(self) -> None:
        """From now on nobody gets through."""
        self._whole = False

    def mend(self) -> None:
        """Who tries again gets through."""
        self._whole = True

    def _run(self) -> None:
        while not self._ended:
            if not self._whole:
                self._drop()
            for key, _ in self._selector.select(_LOOK_S):
                if key.data is None:
                    self._accept()
                elif key.data.fileno() >= 0:  # else the other end was dropped in this turn, and this one with it
                    self._forward(key.fileobj, key.data)  # type: ignore[arg-type]  # a socket was registered

    def _accept(self) -> None:
        near, _ = self._door.accept()
        if self._whole:
            with suppress(OSError):
                far = socket.create_connection(self._target)
                self._selector.register(near, selectors.EVENT_READ, far)
                self._selector.register(far, selectors.EVENT_READ, near)
                return
        near.close()

    def _forward(self, one: socket.socket, other: socket.socket) -> None:
        content = b""
        with suppress(OSError):
            if content := one.recv(1 << 16):
                other.sendall(content)
                return
        for end in (one, other):
            self._selector.unregister(end)
            end.close()

    def _drop(self) -> None:
        for key in [key for key in self._selector.get_map().values() if key.data is not None]:
            self._selector.unregister(key.fileobj)
            key.data.close()
