"""The latest status of a daemon, for everybody who wants to see it change."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

__all__ = ["StatusBoard"]

S = TypeVar("S", bound=msgspec.Struct)


class StatusBoard(Generic[S]):
    """Holds one status value and tells listeners that there is a newer one.

    Only the latest is kept, so no listener can lag behind or fill a queue.
    """

    def __init__(self, status: S) -> None:
        self._lock = threading.Lock()
        self._status = status
        self._listeners: dict[int, Callable[[], object]] = {}
        self._next_key = 0
        self.closed = False

    @property
    def status(self) -> S:
        """The latest status."""
        return self._status

    def publish(self, status: S) -> None:
        """Replaces the status; listeners are called (from this thread) if it is another."""
        with self._lock:
            if status == self._status:
                return
            self._status = status
        self._tell()

    def listen(self, changed: Callable[[], object]) -> Callable[[], None]:
        """Calls `changed` at each change and at the end; the returned function stops that."""
        with self._lock:
            key = self._next_key
            self._next_key += 1
            self._listeners[key] = changed
        return lambda: self._forget(key)

    def close(self) -> None:
        """The end: listeners are called once more."""
        self.closed = True
        self._tell()

    def _forget(self, key: int) -> None:
        with self._lock:
            self._listeners.pop(key, None)

    def _tell(self) -> None:
        with self._lock:
            listeners = list(self._listeners.values())
        for changed in listeners:
            changed()
