"""Requests for `config`: one key, several at once, or an array."""

from collections.abc import Mapping
from typing import Any, Final

from .arming import region
from .darray import from_json, from_tiff, to_json, to_tiff
from .detector import State
from .keys import RefusedError, Value
from .parts import Parts
from .table import Table
from .wire import Reply, Request, json_body, json_reply

__all__ = ["ConfigRequests"]

_TIFF: Final = "application/tiff"
#: Modules that take several keys in one PUT (stream v2's documentation).
_BATCH: Final = ("stream", "filewriter")


class ConfigRequests:
    """`handle` answers, or raises `RefusedError`."""

    def __init__(self, parts: Parts) -> None:
        self._detector = parts.detector
        self._settings = settings = parts.settings
        self._tables: Mapping[str, Table] = {
            "detector": settings.detector,
            "stream": settings.stream,
            "monitor": settings.monitor,
            "filewriter": settings.filewriter,
        }

    def handle(self, request: Request, module: str, key: str) -> Reply:
        """Answers a request for `/MODULE/api/VERSION/config/KEY`."""
        if module not in self._tables:
            raise RefusedError(f"{request.path}: no such address", 404)
        if module == "detector":
            self._check_initialized(request)
        if key == "keys" and request.method == "GET":
            return json_reply(self.names(module))
        if module == "detector" and key in self._settings.array_names:
            return self._array(request, key)
        table = self._tables[module]
        if request.method == "GET":
            return json_reply(table.reply(key))
        if request.method == "PUT":
            return json_reply(self._put(request, module, table, key))
        raise RefusedError(f"{request.method} {request.path}: the parameter has no default to restore", 405)

    def names(self, module: str) -> list[str]:
        """The keys of a module, arrays too; none of one without a configuration."""
        if module not in self._tables:
            return []
        arrays = self._settings.array_names if module == "detector" else {}
        return sorted([*self._tables[module].names(), *arrays])

    def _put(self, request: Request, module: str, table: Table, key: str) -> list[str]:
        content = json_body(request)
        if not key:
            if module not in _BATCH or not isinstance(content, dict):
                raise RefusedError(f"PUT {request.path}: got no key, expected one", 404)
            return table.put_all({name: _value(request, one) for name, one in content.items()})
        value = _value(request, content)
        if module != "detector":
            return table.put(key, value)
        with self._detector.configuring(key):
            changed = table.put(key, value)
            self._settings.count_excluded()
            return changed

    def _array(self, request: Request, key: str) -> Reply:
        settings, name = self._settings, self._settings.array_names[key]
        shape = region(settings.detector.values)
        if request.method == "GET":
            values = settings.arrays.get(name, shape)
            if _TIFF in request.accept:
                return Reply(content=to_tiff(values), media_type=_TIFF)
            return json_reply({"access_mode": "rw", "value": to_json(values), "value_type": _value_type(values)})
        with self._detector.configuring(key):
            if request.method == "DELETE":
                settings.arrays.restore(name)
            else:
                settings.arrays.put(name, _array_of(request), shape)
            settings.count_excluded()
        alike = (other for other, array in settings.array_names.items() if array == name)
        counts = ["number_of_excluded_pixels"] if name.startswith("pixel_mask") else []
        return json_reply(sorted([*alike, *counts]))

    def _check_initialized(self, request: Request) -> None:
        if self._detector.state in (State.NA, State.INITIALIZE):
            raise RefusedError(f"{request.path}: before the detector is initialized only its state is available")


def _value(request: Request, content: Value) -> Value:
    if not isinstance(content, dict) or "value" not in content:
        raise RefusedError(f'{request.path}: got {content!r}, expected {{"value": ...}}')
    return content["value"]


def _array_of(request: Request) -> Any:
    if _TIFF in request.content_type:
        return from_tiff(request.body)
    return from_json(_value(request, json_body(request)))


def _value_type(values: Any) -> str:
    return "uint[][]" if values.dtype.kind == "u" else "float[][]"
