"""Looks at a DCU: it is only asked, never told. A series that runs there goes on."""

import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs

from stins import StinsError
from stins.findings import Checker, Findings, Report

from ..simplon import NoAnswerError, Simplon, SimplonError
from .address import host_and_port
from .simplon_rules import (
    ANSWERS,
    BUSY,
    CLOCK,
    DROPPED,
    HIGH_VOLTAGE,
    SIMPLON_RULES,
    STATE,
    STREAM,
    STREAM_PORT,
    VERSION,
)

__all__ = ["SIMPLON"]

_EXAMPLE: Final = "http://172.31.1.1"
_STEP: Final = "check"
_ANSWER_S: Final = 5.0
_CONNECT_S: Final = 3.0
#: Whoever speaks ZeroMQ says so at once: the first byte of its greeting (ZMTP 2 and 3; before that, a length of 1).
_GREETING_S: Final = 2.0
_GREETINGS: Final = (b"\xff", b"\x01")
_CLOCK_S: Final = 1.0
_PORTS: Final = {"stream v2": 31_001, "stream v1": 9999}
#: Which stream a format is.
_STREAMS: Final = {"cbor": "stream v2", "legacy": "stream v1"}
#: What is worth knowing: what it is called, and where it stands (module, task, key).
_FACTS: Final = {
    "detector": ("detector", "config", "description"),
    "serial number": ("detector", "config", "detector_number"),
    "software": ("detector", "config", "software_version"),
    "firmware": ("detector", "config", "eiger_fw_version"),
    "state": ("detector", "status", "state"),
    "high voltage": ("detector", "status", "high_voltage/state"),
    "temperature (degrees Celsius)": ("detector", "status", "temperature"),
    "humidity (per cent)": ("detector", "status", "humidity"),
    "stream": ("stream", "config", "mode"),
    "stream format": ("stream", "config", "format"),
    "stream state": ("stream", "status", "state"),
    "images dropped": ("stream", "status", "dropped"),
    "time": ("detector", "status", "time"),
}


def _check(url: str) -> Report:
    parts, host, port = host_and_port(url, 80, _EXAMPLE)
    look = _Look(Simplon(host, port, _ANSWER_S), host, _ports(url, parts.query))
    try:
        look.at_all()
    finally:
        look.simplon.close()
    return Report(url, "detector", look.findings, {"rules": look.looked}, look.facts)


def _ports(url: str, query: str) -> Mapping[str, int]:
    given = parse_qs(query).get("stream_port")
    if given is None:
        return _PORTS
    if not given[0].isdigit() or not 0 < int(given[0]) < 1 << 16:
        raise StinsError(f"{url}: stream_port: got {given[0]!r}, expected a TCP port")
    # Which stream it is nobody says.
    return {"stream": int(given[0])}


class _Look:
    """What was seen and found so far."""

    def __init__(self, simplon: Simplon, host: str, ports: Mapping[str, int]) -> None:
        self.simplon = simplon
        self.findings = Findings()
        self.facts: dict[str, str] = {}
        self.looked = 1
        self._host = host
        self._ports = ports

    def at_all(self) -> None:
        """Looks as far as the DCU answers."""
        where = self.simplon.url
        try:
            self.facts["SIMPLON"] = self.simplon.find_version(_STEP)
            seen = {name: self._value(*place) for name, place in _FACTS.items()}
        except SimplonError as error:
            rule = ANSWERS if isinstance(error, NoAnswerError) or "SIMPLON" in self.facts else VERSION
            return self.findings.fault(rule, where, str(error), "what a detector's DCU answers")
        self.facts |= {name: str(value) for name, value in seen.items() if value is not None}
        self.looked = len(SIMPLON_RULES)
        self._detector(seen)
        # First, before ports are tried: one that is filtered takes seconds.
        self._clock(seen["time"])
        self._stream(seen)

    def _value(self, module: str, task: str, key: str) -> Any:
        if (module, task, key) == ("detector", "status", "state"):
            return self.simplon.state(_STEP)  # the first server has to be told to look
        try:
            return self.simplon.get(_STEP, key, module, task).value
        except SimplonError as error:
            if not 400 <= error.status < 500:
                raise
            return None  # this detector has none of that name, or has to be initialized before it says it

    def _detector(self, seen: Mapping[str, Any]) -> None:
        state, voltage = str(seen["state"]), seen["high voltage"]
        if state in ("na", "error", "initialize"):
            self.findings.fault(STATE, "detector/status/state", state, "idle, or a series that is under way")
        elif state != "idle":
            self.findings.fault(BUSY, "detector/status/state", state, "idle")
        if voltage not in (None, "READY", "NA"):
            self.findings.fault(HIGH_VOLTAGE, "detector/status/high_voltage/state", str(voltage), "READY")

    def _stream(self, seen: Mapping[str, Any]) -> None:
        if seen["stream state"] == "error":
            self.findings.fault(STREAM, "stream/status/state", "error", "ready, disabled or acquire")
        reached = {name: self._reaches(port) for name, port in self._ports.items()}
        self.facts |= {f"{name} (port {self._ports[name]})": how or "can be reached" for name, how in reached.items()}
        # The stream is chosen with each series. Where it is on, its own port counts; else whichever there is.
        own = _STREAMS.get(str(seen["stream format"]), "stream v1") if seen["stream"] == "enabled" else None
        counts = [own] if own in reached else [*reached]
        if all(reached[name] for name in counts):
            got = "; ".join(f"port {self._ports[name]}: {reached[name]}" for name in counts)
            self.findings.fault(STREAM_PORT, self._host, got, "a connection")
        if seen["images dropped"]:
            self.findings.fault(DROPPED, "stream/status/dropped", str(seen["images dropped"]), "0")

    def _reaches(self, port: int) -> str:
        """What is in the way; empty if nothing is. Who connects and says nothing is sent no image."""
        try:
            with socket.create_connection((self._host, port), _CONNECT_S) as connection:
                return _not_zeromq(connection)
        except OSError as error:
            return str(error)

    def _clock(self, told: object) -> None:
        try:
            there = datetime.fromisoformat(str(told))
        except ValueError:
            return
        here = datetime.now(UTC)
        # A time without a zone is one of the DCU's own: UTC or local, whichever is nearer.
        zones = [there] if there.tzinfo else [there.replace(tzinfo=UTC), there.astimezone()]
        apart_s = min(((zone - here).total_seconds() for zone in zones), key=abs)
        self.facts["clock"] = f"{apart_s:+.3f} s against this computer's"
        if abs(apart_s) > _CLOCK_S:
            self.findings.fault(CLOCK, "detector/status/time", f"{apart_s:+.1f} s", f"at most {_CLOCK_S:g} s apart")


def _not_zeromq(connection: socket.socket) -> str:
    """What else than ZeroMQ is spoken there; empty if nothing else is."""
    connection.settimeout(_GREETING_S)
    try:
        said = connection.recv(64)
    except TimeoutError:
        return f"it speaks no ZeroMQ: no greeting within {_GREETING_S:g} s"
    return "" if said[:1] in _GREETINGS else f"it speaks no ZeroMQ: it began with {said!r}"


SIMPLON: Final = Checker(_EXAMPLE, SIMPLON_RULES, _check)
