"""SIMPLON's addresses: what each GET, PUT and DELETE is answered with. No web framework, no socket."""

from typing import Final

from .command_requests import CommandRequests
from .config_requests import ConfigRequests
from .keys import RefusedError
from .parts import Parts
from .status import Status
from .wire import Reply, Request, json_reply

__all__ = ["Simplon"]

_TIFF: Final = "application/tiff"
_MODULES: Final = ("detector", "stream", "monitor", "filewriter", "system")


class Simplon:
    """`handle` may be called from several threads; it blocks for as long as a command takes."""

    def __init__(self, parts: Parts) -> None:
        self._api = parts.api
        self._monitor = parts.monitor
        self._status = Status(parts)
        self._config = ConfigRequests(parts)
        self._commands = CommandRequests(parts, self._status)

    def handle(self, request: Request) -> Reply:
        """The answer; a refusal is one as well, with a text for its body."""
        try:
            return self._answer(request)
        except RefusedError as refused:
            return Reply(content=str(refused).encode(), media_type="text/plain", status=refused.status)

    def addresses(self) -> list[str]:
        """All that may be asked for, as MODULE/TASK/KEY."""
        named = {"config": self._config.names, "status": self._status.names, "command": self._commands.names}
        return [
            *(f"{module}/{task}/{name}" for module in _MODULES for task in named for name in named[task](module)),
            *(f"{module}/{task}/keys" for module in _MODULES for task in named),
            *(f"{module}/{name}" for module in _MODULES for name in ("version", "keys")),
            *(f"{module}/config" for module in _MODULES),  # several keys at once
            *(f"monitor/images/{name}" for name in ("monitor", "next")),
        ]

    def _answer(self, request: Request) -> Reply:
        steps = request.path.strip("/").split("/")
        if len(steps) < 3 or steps[0] not in _MODULES or steps[1] != "api":
            raise RefusedError(f"{request.path}: no such address", 404)
        module, version = steps[0], steps[2]
        if version == "version":
            return json_reply({"value": self._api, "value_type": "string"})
        if version != self._api:
            raise RefusedError(f"{request.path}: incompatible version {version}, expected {self._api}")
        return self._answer_task(request, module, steps[3:])

    def _answer_task(self, request: Request, module: str, steps: list[str]) -> Reply:
        task, key = steps[0] if steps else "", "/".join(steps[1:])
        if task == "keys" and not key:
            return json_reply(["command", "config", "status"])
        if task == "command":
            return self._commands.handle(request, module, key)
        if task == "config":
            return self._config.handle(request, module, key)
        if task == "status" and request.method == "GET":
            return json_reply(self._status.names(module) if key == "keys" else self._status.reply(module, key))
        if module == "monitor" and task == "images" and request.method == "GET":
            return self._image(request, key)
        raise RefusedError(f"{request.method} {request.path}: no such address", 404)

    def _image(self, request: Request, key: str) -> Reply:
        """`monitor`: the latest image; `next`: the oldest, which is gone then."""
        if key == "monitor":
            return Reply(content=self._monitor.latest(), media_type=_TIFF)
        if key == "next":
            return Reply(content=self._monitor.take(request.timeout_s), media_type=_TIFF)
        raise RefusedError(f"{request.path}: no such image, expected monitor or next", 404)
