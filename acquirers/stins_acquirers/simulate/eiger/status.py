"""The `status` of each module: read-only keys, made up when they are asked for."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from .detector import State
from .keys import Key, RefusedError, Value
from .parts import Parts

__all__ = ["Status"]

_BUFFER_BYTES = 32 << 30
_Read = Callable[[], Value]


class Status:
    """`reply` is what a GET of a module's status is answered with; unknown names are `RefusedError` (404)."""

    def __init__(self, parts: Parts) -> None:
        self._detector = parts.detector
        self._settings = parts.settings
        self._readout = parts.readout
        self._faults = parts.faults
        self._monitor = parts.monitor
        self._keys: Mapping[str, Mapping[str, tuple[Key, _Read]]] = {
            "detector": dict(self._detector_keys(parts.api)),
            "stream": dict(self._stream_keys()),
            "monitor": dict(self._monitor_keys()),
            "filewriter": dict(self._filewriter_keys(parts.api)),
        }
        self._seen: dict[str, Value] | None = None
        if parts.api == "1.6.0":
            self.update()

    def names(self, module: str) -> list[str]:
        """The names of a module's status."""
        return sorted(self._keys.get(module, {}))

    def update(self) -> None:
        """What `status_update` does, of version 1.6: until then the detector's status is as it was before."""
        self._seen = {name: read() for name, (_, read) in self._keys["detector"].items()}

    def reply(self, module: str, name: str) -> dict[str, Any]:
        """The JSON object of one key."""
        try:
            key, read = self._keys[module][name]
        except KeyError:
            raise RefusedError(f"{module}/status/{name}: no such parameter", 404) from None
        if module == "detector" and self._seen is not None and name != "state":
            return key.reply(self._seen[name])
        return key.reply(read())

    def _detector_keys(self, api: str) -> list[tuple[str, tuple[Key, _Read]]]:
        detector = self._detector
        found = [
            _key("state", "string", lambda: detector.state.value, allowed=tuple(state.value for state in State)),
            _key("error", "string[]", list),
            _key("time", "date", lambda: datetime.now(UTC).isoformat()),
            _key("board_000/th0_temp", "float", lambda: 24.5, "degree Celsius"),
            _key("board_000/th0_humidity", "float", lambda: 12.5, "percent"),
        ]
        if api == "1.6.0":
            found += [_key(f"link_{number}", "string", lambda: "up") for number in range(4)]
            found.append(_key("builder/dcu_buffer_free", "float", self._buffer_percent, "percent"))
            return found
        return [
            *found,
            _key("temperature", "float", lambda: 24.5, "degree Celsius"),
            _key("humidity", "float", lambda: 12.5, "percent"),
            _key("high_voltage/state", "string", detector.high_voltage.state),
            _key("series_unique_id", "string", lambda: detector.unique_id),
        ]

    def _stream_keys(self) -> list[tuple[str, tuple[Key, _Read]]]:
        return [
            _key("state", "string", self._stream_state),
            _key("error", "string[]", list),
            _key("dropped", "uint", lambda: self._readout.dropped),
        ]

    def _monitor_keys(self) -> list[tuple[str, tuple[Key, _Read]]]:
        return [
            _key("state", "string", lambda: "overflow" if self._faults.has("full_buffer") else "normal"),
            _key("error", "string[]", list),
            _key("buffer_fill_level", "uint", lambda: len(self._monitor)),
            _key("buffer_free", "uint", lambda: 0 if self._faults.has("full_buffer") else _BUFFER_BYTES, "B"),
            _key("dropped", "uint", lambda: self._monitor.dropped),
        ]

    def _filewriter_keys(self, api: str) -> list[tuple[str, tuple[Key, _Read]]]:
        per_unit, unit = (1024, "KB") if api == "1.6.0" else (1, "B")
        free = _BUFFER_BYTES // per_unit
        return [
            _key("state", "string", lambda: self._module_state("filewriter")),
            _key("error", "string[]", list),
            _key("files", "string[]", list),
            _key("buffer_free", "uint", lambda: 0 if self._faults.has("full_buffer") else free, unit),
        ]

    def _stream_state(self) -> str:
        if self._faults.has("stream_error"):
            return "error"
        state = self._module_state("stream")
        return "acquire" if state == "ready" and self._readout.waiting else state

    def _module_state(self, module: str) -> str:
        table = self._settings.stream if module == "stream" else self._settings.filewriter
        if table.values["mode"] == "disabled":
            return "disabled"
        return "acquire" if self._detector.state in (State.READY, State.ACQUIRE) else "ready"

    def _buffer_percent(self) -> float:
        return 0.0 if self._faults.has("full_buffer") else 100.0


def _key(
    name: str, value_type: str, read: _Read, unit: str | None = None, allowed: tuple[str, ...] | None = None
) -> tuple[str, tuple[Key, _Read]]:
    return name, (
        Key(name=name, value=None, value_type=value_type, access="r", unit=unit, allowed=allowed),
        read,
    )
