"""Names of files made from what is known of their run."""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import PurePath
from string import Formatter
from typing import Any, Protocol
from uuid import uuid4

from stins import StinsError

from .paths import ALLOWED, PathInfo, is_readable

__all__ = ["TemplatePathProvider"]


class _Engine(Protocol):
    """What is needed of a RunEngine."""

    md: Any

    def subscribe(self, func: Callable[[str, Any], object], /) -> int:
        """Calls it with each document."""

    def unsubscribe(self, token: int) -> None:
        """Not any more."""


class TemplatePathProvider:
    """A name such as `{proposal}/{sample}/{detector}_{scan_id:05d}_{uid:.8}` for each staging.

    The fields are those of the run's start document (`uid`, `scan_id`, `plan_name`, and whatever stands in `RE.md` or
    in the plan's own meta data), `detector`, and `date` (of the run, for `{date:%Y-%m-%d}`); format specifications are
    Python's. `follow` tells it of the runs. What is armed while no run is open has a uid of its own, and `scan_id` is
    that of the run before, or 0.

    Raises:
        StinsError: the template cannot be read, or has characters that a catalogue could not read back.
    """

    #: The device asks it when the series is armed: plans stage before the run is open, and its uid known.
    per_run = True

    def __init__(self, template: str, metadata: Mapping[str, Any] | None = None) -> None:
        _check_template(template)
        self._template = template
        self._metadata: Mapping[str, Any] = metadata or {}
        self._runs: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()  # the RunEngine's thread tells of runs, the device's worker asks

    def follow(self, engine: _Engine) -> Callable[[], None]:
        """Takes what is known of the runs from that RunEngine; the returned function ends that."""
        self._metadata = engine.md
        token = engine.subscribe(self._note)
        return lambda: engine.unsubscribe(token)

    def __call__(self, datakey_name: str | None = None) -> PathInfo:
        """The name for the run that is open, or the latest where several are.

        Raises:
            StinsError: a field has no value, or one that cannot be in a name; the text names it.
        """
        path = PurePath(_filled(self._template, self._fields(datakey_name or "")))
        return PathInfo(path.parent, path.name)

    def _note(self, name: str, doc: dict[str, Any]) -> None:
        with self._lock:
            if name == "start":
                self._runs[doc["uid"]] = doc
            elif name == "stop":
                self._runs.pop(doc["run_start"], None)

    def _fields(self, datakey_name: str) -> dict[str, Any]:
        with self._lock:
            run = next(reversed(self._runs.values()), {})
        known = {"scan_id": 0, "uid": str(uuid4()), **self._metadata, **run}
        date = datetime.fromtimestamp(run["time"]) if run else datetime.now()  # of the beamline
        return {**known, "detector": datakey_name.removesuffix("_image"), "date": date}


def _check_template(template: str) -> None:
    try:
        literals = [literal for literal, *_ in Formatter().parse(template)]
    except ValueError as error:
        raise StinsError(f"path template {template!r}: {error}") from None
    for literal in literals:
        if literal.strip("/") and not all(is_readable(f"x{step}") for step in literal.split("/")):
            raise StinsError(f"path template {template!r}: got {literal!r}, expected {ALLOWED}")


def _filled(template: str, fields: Mapping[str, Any]) -> str:
    return "".join(
        literal + ("" if name is None else _value(name, spec or "", conversion, fields))
        for literal, name, spec, conversion in Formatter().parse(template)
    )


def _value(name: str, spec: str, conversion: str | None, fields: Mapping[str, Any]) -> str:
    """The text of one field: a value must not make folders, or a name that cannot be read back."""
    written = f"{{{name}{f'!{conversion}' if conversion else ''}{f':{spec}' if spec else ''}}}"
    try:
        text = written.format_map(fields)
    except (KeyError, IndexError):
        known = ", ".join(sorted(fields))
        raise StinsError(
            f"path template: got no value for {name!r}, expected it in RE.md or in the plan's md; known: {known}"
        ) from None
    except (ValueError, TypeError, AttributeError) as error:
        raise StinsError(f"path template: {written}: {error}") from None
    if not is_readable(f"x{text}") or not text:
        raise StinsError(f"path template: {name}: got {text!r}, expected {ALLOWED}")
    return text
