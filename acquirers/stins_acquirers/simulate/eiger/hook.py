"""The test hook, under /simulator, where the real detector has nothing: cables, faults, and a look inside."""

import time
from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from stins import StinsError
from stins.daemon import check_config

from .faults import Fault
from .parts import Parts
from .triggers import Pulses
from .wire import Reply, json_reply

__all__ = ["Hook"]


class _Restart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0


class Hook:
    """`handle` answers a request for `/simulator/NAME`."""

    def __init__(self, parts: Parts) -> None:
        self._detector = parts.detector
        self._readout = parts.readout
        self._faults = parts.faults
        self._routes: dict[tuple[str, str], Callable[[bytes], Any]] = {
            ("GET", "status"): lambda _body: self._status(),
            ("POST", "trigger"): self._trigger,
            ("POST", "restart"): self._restart,
            ("GET", "faults"): lambda _body: self._listed(),
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): lambda _body: self._clear_faults(),
        }

    def handle(self, method: str, name: str, body: bytes) -> Reply:
        """The answer."""
        route = self._routes.get((method, name))
        if route is None:
            offered = ", ".join(f"{verb} {path}" for verb, path in self._routes)
            return _error(404, f"{method} /simulator/{name}: no such address; there are: {offered}")
        try:
            return json_reply(route(body))
        except (msgspec.DecodeError, StinsError) as error:
            return _error(422, f"/simulator/{name}: {error}")

    @property
    def lives(self) -> int:
        """How often the service was started: a request that meets a restart is never answered by it."""
        return self._detector.lives

    def down(self) -> bool:
        """Whether the service is restarting: nobody answers."""
        return time.monotonic() < self._detector.down_until

    def _status(self) -> dict[str, Any]:
        return {
            "state": self._detector.state.value,
            "series": self._detector.number,
            "images_taken": self._readout.taken,
            "images_dropped": self._readout.dropped,
            "images_waiting": self._readout.waiting,
            "faults_hit": self._faults.hits,
        }

    def _trigger(self, body: bytes) -> dict[str, int]:
        pulses = msgspec.json.decode(body or b"{}", type=Pulses)
        taken = self._detector.pulse(pulses)
        return {"taken": taken, "ignored": pulses.count - taken}

    def _restart(self, body: bytes) -> dict[str, Any]:
        self._detector.restart(msgspec.json.decode(body or b"{}", type=_Restart).seconds)
        return self._status()

    def _add_fault(self, body: bytes) -> list[Any]:
        fault = check_config(msgspec.json.decode(body), Fault, "fault")
        if fault.kind == "restart" and fault.image is None:
            self._detector.restart(fault.seconds)
        else:
            self._faults.add(fault)
        return self._listed()

    def _clear_faults(self) -> list[Any]:
        self._faults.clear()
        return []

    def _listed(self) -> list[Any]:
        return [fault.model_dump(exclude_unset=True) for fault in self._faults.active()]


def _error(status: int, text: str) -> Reply:
    return Reply(content=text.encode(), media_type="text/plain", status=status)
