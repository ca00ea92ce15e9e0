"""Faults on request, between the service and the socket: they hit whole messages, as a network would."""

import os
import signal
import time
from collections.abc import Callable, Sequence

import msgspec

from stins.messages import Header, Payload
from stins.transport import Link

from .settings import Fault

__all__ = ["FaultyLink"]

#: For room for what comes behind the end of a series; nobody offers it again.
_ROOM_S = 5.0
_AT_ONCE = 0.0


class _Head(msgspec.Struct):
    message_type: str
    frame_number: int | None = None


class FaultyLink:
    """Passes messages on to `link` and does to some what `faults` says, each fault once in a series."""

    def __init__(self, link: Link, faults: Callable[[], Sequence[Fault]]) -> None:
        self._link = link
        self._faults = faults
        self._done: set[Fault] = set()
        # What this link took upon itself to send, and from when on: kept until there is room for it.
        self._owed: list[tuple[float, Sequence[Payload]]] = []
        self._head = msgspec.json.Decoder(_Head)

    def send(self, parts: Sequence[Payload], timeout_s: float = 0.0, header: Header | None = None) -> bool:
        """Like the link's own `send`, except for the faults."""
        if not self._faults():
            return self._link.send(parts, timeout_s, header)
        head = self._head.decode(parts[0])
        if head.message_type == "series-start":
            self._done.clear()
            self._owed.clear()
        if head.message_type == "series-end":
            return self._end(parts, timeout_s)
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

    def _strike(self, fault: Fault, parts: Sequence[Payload], timeout_s: float) -> bool:
        match fault.kind:
            case "drop":
                return True
            case "duplicate":
                # The first copy's answer counts: were it refused, its id would be used again.
                sent = self._link.send(parts, timeout_s)
                if sent:
                    self._owed.append((_AT_ONCE, parts))
                    self._pay()
                return sent
            case "reorder":
                self._owed.append((_AT_ONCE, parts))
                return True
            case "delay":
                self._owed.append((time.monotonic() + fault.seconds, parts))
                return True
            case "freeze":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
        return self._pass(parts, timeout_s)

    def _pass(self, parts: Sequence[Payload], timeout_s: float) -> bool:
        sent = self._link.send(parts, timeout_s)
        if sent:
            self._pay()
        return sent

    def _pay(self) -> None:
        """Sends what is due, as far as there is room."""
        now = time.monotonic()
        for owed in [owed for owed in self._owed if owed[0] <= now]:
            if not self._link.send(owed[1]):
                return
            self._owed.remove(owed)

    def _end(self, parts: Sequence[Payload], timeout_s: float) -> bool:
        """The end of a series waits for what was delayed; what was put out of order may come behind it."""
        while delayed := [owed for owed in self._owed if owed[0] > _AT_ONCE]:
            due, message = delayed[0]
            time.sleep(max(0.0, due - time.monotonic()))
            if not self._link.send(message, timeout_s):
                return False
            self._owed.remove(delayed[0])
        if not self._link.send(parts, timeout_s):
            return False
        while self._owed and self._link.send(self._owed[0][1], _ROOM_S):
            del self._owed[0]
        return True
