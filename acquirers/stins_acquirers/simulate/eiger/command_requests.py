"""Requests for `command`: which body each takes, and what it is answered with."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from .keys import RefusedError, Value
from .parts import Parts
from .status import Status
from .wire import Reply, Request, json_body, json_reply

__all__ = ["CommandRequests"]

_Run = Callable[[Value], Any]
#: Commands that take a body: a number under "value".
_WITH_VALUE: Final = ("detector/trigger", "detector/hv_reset")


class CommandRequests:
    """`handle` answers once the command is done, or raises `RefusedError`."""

    def __init__(self, parts: Parts, status: Status) -> None:
        detector, settings, monitor = parts.detector, parts.settings, parts.monitor
        self._commands: dict[str, _Run] = {
            "detector/initialize": lambda _value: detector.initialize(),
            "detector/arm": lambda _value: _numbered(detector.arm()),
            "detector/trigger": lambda value: _numbered(detector.trigger(value)),
            "detector/disarm": lambda _value: _numbered(detector.disarm()),
            "detector/cancel": lambda _value: _numbered(detector.cancel()),
            "detector/abort": lambda _value: _numbered(detector.abort()),
            "detector/check_connections": lambda _value: None,
            "stream/initialize": lambda _value: detector.initialize_stream(),
            "monitor/initialize": lambda _value: monitor.initialize(),
            "monitor/clear": lambda _value: monitor.clear(),
            "filewriter/initialize": lambda _value: settings.filewriter.reset(),
            "filewriter/clear": lambda _value: None,
            "system/restart": lambda _value: detector.restart(0.0),
        }
        if parts.api == "1.6.0":
            self._commands["detector/status_update"] = lambda _value: status.update()
        elif settings.family.has_high_voltage:
            self._commands["detector/hv_reset"] = lambda value: detector.high_voltage.reset(value or 0.0)

    def names(self, module: str) -> list[str]:
        """The commands of a module."""
        return sorted(name.partition("/")[2] for name in self._commands if name.startswith(f"{module}/"))

    def handle(self, request: Request, module: str, name: str) -> Reply:
        """Answers a request for `/MODULE/api/VERSION/command/NAME`."""
        if name == "keys" and request.method == "GET":
            return json_reply(self.names(module))
        run = self._commands.get(f"{module}/{name}")
        if run is None:
            raise RefusedError(f"{request.path}: no such command", 404)
        if request.method != "PUT":
            raise RefusedError(f"{request.method} {request.path}: a command is a PUT", 405)
        result = run(_value(request, f"{module}/{name}"))
        return Reply() if result is None else json_reply(result)


def _value(request: Request, command: str) -> float | None:
    """The number in the body of the two commands that take one; any other body is an error."""
    content = json_body(request)
    if content is None or content == {}:
        return None
    if command not in _WITH_VALUE:
        raise RefusedError(f"{request.path}: got a body, expected none")
    value = content.get("value") if isinstance(content, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise RefusedError(f'{request.path}: got {content!r}, expected {{"value": seconds}}')
    return float(value)


def _numbered(number: int) -> Mapping[str, int]:
    return {"sequence id": number}
