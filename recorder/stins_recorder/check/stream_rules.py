"""What a stream is held to: the protocol's rules (docs/stins.md), as far as a listener can see them."""

from typing import Final

from stins.findings import Rule, Severity

__all__ = [
    "ABORTED", "CHUNK_HEADER", "DISORDER", "DROPPED", "DUPLICATE", "GAP", "INCOMPLETE", "JOINED", "LAYOUT", "MISSING",
    "NO_SERIES", "OPEN", "REFUSED", "REPEATED", "RESTARTED", "SILENT", "STREAM_RULES", "UNENDED", "UNKNOWN_KEY",
]  # fmt: skip

_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE

REFUSED = Rule("stins.refused", _E, "every message is a STINS 1 message: JSON header, known types, parts as described")
UNKNOWN_KEY = Rule("stins.unknown-key", _E, "custom keys stand under detector_specific, nowhere else")
CHUNK_HEADER = Rule("stins.chunk-header", _E, "the header of a compressed part says as many bytes as its shape")
LAYOUT = Rule("stins.layout", _E, "frames look as series-start announced them, and as they can be recorded")
GAP = Rule("stins.gap", _E, "message_id goes up by 1 with every message")
DUPLICATE = Rule("stins.duplicate", _W, "no message comes twice")
DISORDER = Rule("stins.disorder", _W, "messages come in the order of their ids")
RESTARTED = Rule("stins.restarted", _N, "the sender does not restart while it is watched")
MISSING = Rule("stins.missing", _E, "every frame comes, or its sender names it in frames_dropped")
DROPPED = Rule("stins.dropped", _W, "the sender drops no frames")
REPEATED = Rule("stins.repeated", _E, "no frame_number comes twice, unless with retake")
UNENDED = Rule("stins.unended", _E, "a series ends with series-end")
ABORTED = Rule("stins.aborted", _W, "a series ends with the status finished")
INCOMPLETE = Rule("stins.incomplete", _W, "a series is complete by its own account")
SILENT = Rule("stins.silent", _E, "something comes while the checker listens")
NO_SERIES = Rule("stins.no-series", _W, "a series starts while the checker listens: only from there it can be checked")
JOINED = Rule("stins.joined-late", _N, "the checker listens before the series starts")
OPEN = Rule("stins.open", _N, "the series ends while the checker listens")

STREAM_RULES: Final = (
    REFUSED, UNKNOWN_KEY, CHUNK_HEADER, LAYOUT, GAP, DUPLICATE, DISORDER, RESTARTED, MISSING, DROPPED, REPEATED,
    UNENDED, ABORTED, INCOMPLETE, SILENT, NO_SERIES, JOINED, OPEN,
)  # fmt: skip
