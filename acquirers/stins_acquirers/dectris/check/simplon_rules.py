"""How a DCU should be."""

from typing import Final

from stins.findings import Rule, Severity

__all__ = [
    "ANSWERS", "BUSY", "CLOCK", "DROPPED", "HIGH_VOLTAGE", "SIMPLON_RULES", "STATE", "STREAM", "STREAM_PORT", "VERSION",
]  # fmt: skip

_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE

ANSWERS = Rule(
    "dcu.answers",
    _E,
    "the DCU answers over HTTP",
    "switch it on; look at its address and port, the cable, and firewalls between; restart its service if it hangs",
)
VERSION = Rule(
    "dcu.version",
    _E,
    "it speaks SIMPLON 1.8.0, or 1.6.0 as an EIGER with its first server does",
    "is this the address of a detector's DCU? ask DECTRIS for a newer release otherwise",
)
STATE = Rule(
    "dcu.state",
    _W,
    "the detector is initialized",
    "nothing: the acquirer initializes it when it is armed, which takes up to two minutes",
)
BUSY = Rule("dcu.busy", _N, "nobody has armed the detector", "if that is no acquirer of yours, end that series there")
HIGH_VOLTAGE = Rule(
    "dcu.high-voltage",
    _E,
    "the sensor's high voltage is on, where it can be switched",
    "wait while it is RAMPING; else switch it on: command hv_reset or hv_enabled of SIMPLON",
)
STREAM = Rule(
    "dcu.stream",
    _E,
    "the stream is not in an error",
    "PUT /stream/api/VERSION/command/initialize, or restart the DCU's service",
)
STREAM_PORT = Rule(
    "dcu.stream-port",
    _E,
    "the port of a stream can be reached, and speaks ZeroMQ",
    "open it in firewalls (31001 for v2, 9999 for v1); ?stream_port=PORT where it is another",
)
DROPPED = Rule(
    "dcu.dropped",
    _W,
    "the stream has dropped no image of its last series",
    "nobody took them in time: was an acquirer connected, and are network and recorder fast enough?",
)
CLOCK = Rule(
    "dcu.clock",
    _W,
    "the DCU's clock is within 1 s of this computer's",
    "give both the same time server; images carry the DCU's time",
)

SIMPLON_RULES: Final = (ANSWERS, VERSION, STATE, BUSY, HIGH_VOLTAGE, STREAM, STREAM_PORT, DROPPED, CLOCK)
