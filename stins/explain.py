"""Off the fast path: what is wrong with a header that msgspec refused, and what a tolerant receiver can save."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn

import msgspec

from .errors import MessageError
from .messages import (
    Acquisition,
    Axis,
    Beamline,
    Channel,
    Data,
    Detector,
    FrameLayout,
    Part,
    SeriesEnd,
    SeriesInfo,
    SeriesStart,
)
from .share import Share

__all__ = ["move_unknown", "refuse", "refuse_depth"]

_STRUCTURES: Final[Mapping[str, type[msgspec.Struct]]] = {
    "series": SeriesInfo,
    "detector": Detector,
    "acquisition": Acquisition,
    "beamline": Beamline,
    "frame": FrameLayout,
}
#: Structures deeper down; `*` stands for each item of a list or of an object with free keys.
_NESTED: Final[Mapping[str, type[msgspec.Struct]]] = {
    "series.share": Share,
    "data.*": Part,
    "acquisition.goniometer.*": Axis,
    "acquisition.detector_axes.*": Axis,
    "acquisition.channels.*": Channel,
}
_MESSAGES: Final[Mapping[str, type[msgspec.Struct]]] = {
    "series-start": SeriesStart,
    "data": Data,
    "series-end": SeriesEnd,
}
#: What msgspec's own words leave out.
_EXPECTED: Final[Mapping[str, str]] = {
    "version": "1",
    "message_type": f"one of {sorted(_MESSAGES)}",
    "status": "one of ['aborted', 'failed', 'finished']",
}
_WHERE = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"unknown field `(?P<key>.*)`", re.DOTALL)
_ID = re.compile(rb"\s*(\d{1,20})\s*[,}]")
# What matters for nesting: strings (so that brackets in them don't count), brackets, and the colon behind a key.
_TOKENS = re.compile(rb'"((?:[^"\\]|\\.)*)"|[\[{]|[\]}]|:', re.DOTALL)


def move_unknown(content: dict[str, Any]) -> tuple[str, ...]:
    """Moves every key that the protocol doesn't know into detector_specific; returns their dotted paths."""
    # Pairs: a key may stand at the top level that reads like the path of a nested one.
    moved: list[tuple[str, Any]] = []
    kind = content.get("message_type")
    if isinstance(kind, str) and kind in _MESSAGES:
        moved += _take_unknown(content, _MESSAGES[kind], "")
    for name, structure in _STRUCTURES.items():
        moved += _take_unknown(content.get(name), structure, f"{name}.")
    for path, structure in _NESTED.items():
        for where, value in _each(content, path):
            moved += _take_unknown(value, structure, f"{where}.")
    free = content.setdefault("detector_specific", {})
    if isinstance(free, dict):
        for key, value in moved:
            free[_free_name(key, free)] = value
    return tuple(sorted(key for key, _ in moved))


def _each(value: object, path: str) -> list[tuple[str, object]]:
    """What stands at the path, with the way to it."""
    found = [("", value)]
    for step in path.split("."):
        found = [(f"{where}.{key}", item) for where, thing in found for key, item in _items(thing, step)]
    return [(where.removeprefix("."), item) for where, item in found]


def _items(value: object, step: str) -> list[tuple[object, object]]:
    if isinstance(value, dict):
        return list(value.items()) if step == "*" else [(step, value.get(step))]
    return list(enumerate(value)) if step == "*" and isinstance(value, list) else []


def _take_unknown(value: object, structure: type[msgspec.Struct], path: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return []
    known = {*structure.__struct_fields__, structure.__struct_config__.tag_field}
    return [(f"{path}{key}", value.pop(key)) for key in list(value) if key not in known]


def _free_name(key: str, taken: Iterable[str]) -> str:
    while key in taken:
        key += "_"
    return key


def refuse(error: msgspec.ValidationError, content: object) -> NoReturn:
    """Raises a `MessageError`: msgspec names where, but not what it got; this adds the value."""
    text = str(error)
    where = _WHERE.search(text)
    path = where["path"] if where else ""
    unknown = _UNKNOWN.search(text)
    if unknown:
        path = f"{path}.{unknown['key']}" if path else unknown["key"]
    expected = f", expected {_EXPECTED[path]}" if path in _EXPECTED else ""
    number = content.get("message_id") if isinstance(content, dict) else None
    raise MessageError(
        f"{path or 'header'}: {_WHERE.sub('', text)}; got {_shown(_look_up(content, path))}{expected}",
        number if type(number) is int else None,
    ) from None


def _look_up(content: object, path: str) -> object:
    for step in re.findall(r"[^.\[\]]+", path):
        if isinstance(content, list) and step.isdigit() and int(step) < len(content):
            content = content[int(step)]
        elif isinstance(content, dict) and step in content:
            content = content[step]
        else:
            return content
    return content


def _shown(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()[:80]
    except RecursionError:
        return "something nested deep"


def refuse_depth(raw: bytes, depth: int) -> NoReturn:
    """Raises a `MessageError` that names the top-level key under which the header nests too deep to be parsed.

    The header is read to its end: its message_id may stand behind that key.
    """
    deep, key, level, text, number = "", "header", 0, b"", None
    for token in _TOKENS.finditer(raw):
        sign = token[0]
        if sign == b":" and level == 1:
            key = text.decode(errors="replace")
            if text == b"message_id" and (found := _ID.match(raw, token.end())):
                number = int(found[1])
        elif sign in b"[{":
            level += 1
        elif sign in b"]}":
            level -= 1
        elif sign != b":":
            text = token[1]
        if level > depth:
            deep = deep or key
    raise MessageError(
        f"{deep[:80] or key[:80]}: nested deeper than {depth} levels, which is the most; got {len(raw)} bytes", number
    ) from None
