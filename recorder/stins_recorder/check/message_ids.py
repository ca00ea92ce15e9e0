"""Which message ids came, and in what order: gaps, repetitions, disorder."""

from itertools import pairwise

from stins import SeriesStart, Spans
from stins.findings import Findings
from stins.messages import Header

from .stream_rules import DISORDER, DUPLICATE, GAP, RESTARTED

__all__ = ["MessageIds"]


class MessageIds:
    """Follows the ids of one stream; `close` says which never came."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._seen = Spans()
        self._highest = -1
        self._start: Header | None = None

    def came(self, message_id: int, header: Header | None = None) -> None:
        """A message came; without header: one that was refused, whose id could be read."""
        if isinstance(header, SeriesStart):
            if message_id <= self._highest and header != self._start:
                self._restart(message_id)
            self._start = header
        if message_id in self._seen:
            self._findings.fault(DUPLICATE, f"message {message_id}", "it again", "each message once")
        elif message_id < self._highest:
            self._findings.fault(DISORDER, f"message {message_id}", f"it after {self._highest}", "ascending ids")
        self._seen.add(message_id, message_id)
        self._highest = max(self._highest, message_id)

    def close(self) -> None:
        """Reports the gaps that were never filled."""
        spans = self._seen.as_tuple()
        for (_, before), (after, _) in pairwise(spans):
            lost = f"{before + 1}" if after - before == 2 else f"{before + 1} to {after - 1}"
            self._findings.fault(GAP, f"message {after}", f"{after} after {before}", f"message {lost} between them")
        self._seen = Spans()

    def _restart(self, message_id: int) -> None:
        got = f"series-start {message_id} after message {self._highest}"
        self._findings.fault(RESTARTED, f"message {message_id}", got, "ascending ids")
        self.close()
        self._highest = -1
