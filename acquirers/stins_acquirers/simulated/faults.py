"""Faults on request, between the service and the socket: they hit whole messages, as a network would."""

import os
import signal
import time
from collections.abc import Callable, Sequence

import msgspec

from stins.messages import Payload
from stins.transport import Link

from .settings import Fault

__all__ = ["FaultyLink"]

_ROOM_S = 5.0


class _Head(msgspec.Struct):
    message_type: str
    frame_number: int | None = None


class FaultyLink:
    """Passes messages on to `link` and does to some what `faults` says, each fault once in a series."""

    def __init__(self, link: Link, faults: Callable[[], Sequence[Fault]]) -> None:
        self._link = link
        self._faults = faults
        self._done: set[Fault] = set()
        self._swapped: list[Sequence[Payload]] = []
        self._held: list[tuple[float, Sequence[Payload]]] = []
        self._head = msgspec.json.Decoder(_Head)

    def send(self, parts: Sequence[Payload], timeout_s: float = 0.0) -> bool:
        """Like the link's own `send`, except for the faults."""
        if not self._faults():
            return self._link.send(parts, timeout_s)
        head = self._head.decode(parts[0])
        self._release(wait=head.message_type == "series-end")
        if head.message_type == "series-start":
            self._done.clear()
        fault = self._due(head)
        if fault is None:
            return self._pass(parts, timeout_s)
        sent = self._strike(fault, parts, timeout_s)
        if sent:
            self._done.add(fault)
        return sent

    def _due(self, head: _Head) -> Fault | None:
        if head.frame_number is None:
            return None
        hits = (f for f in self._faults() if f.frame == head.frame_number and f not in self._done)
        return next(hits, None)

    def _pass(self, parts: Sequence[Payload], timeout_s: float) -> bool:
        if not self._link.send(parts, timeout_s):
            return False
        while self._swapped:
            self._link.send(self._swapped.pop(0), _ROOM_S)
        return True

    def _strike(self, fault: Fault, parts: Sequence[Payload], timeout_s: float) -> bool:
        match fault.kind:
            case "drop":
                return True
            case "duplicate":
                return self._pass(parts, timeout_s) and self._pass(parts, _ROOM_S)
            case "reorder":
                self._swapped.append(parts)
                return True
            case "delay":
                self._held.append((time.monotonic() + fault.seconds, parts))
                return True
            case "freeze":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
        return self._pass(parts, timeout_s)

    def _release(self, *, wait: bool) -> None:
        """Sends what was held back for long enough; the end of a series waits for the rest of it."""
        while self._held and (wait or self._held[0][0] <= time.monotonic()):
            due, parts = self._held.pop(0)
            time.sleep(max(0.0, due - time.monotonic()))
            self._link.send(parts, _ROOM_S)
