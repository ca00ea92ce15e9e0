"""The writer's word to the supervisor: how it is, at each change, and now and then."""

import math

from stins import StoreFrame
from stins.control import Preview
from stins.transport import LivePublisher, Receiver

from ..errors import RecorderError
from ..link import Link, WriterStatus
from ..recording.recording import Recording

__all__ = ["Reporter"]

_STATUS_S, _HEARTBEAT_S = 0.1, 1.0


class Reporter:
    """Knows what was told last, and when."""

    def __init__(self, link: Link, recording: Recording, receiver: Receiver, live: LivePublisher) -> None:
        self._link = link
        self._recording = recording
        self._receiver = receiver
        self._live = live
        self._seen: tuple[StoreFrame | None, Preview | None] = (None, None)
        self._told = 0.0
        self._free: int | None = None
        self._looked = -math.inf
        self._told_what, self._told_series = self._what(), recording.series

    def look(self, now: float) -> None:
        """Tells what is new at once, counts ten times a second, and once a second that nothing is new."""
        due = _STATUS_S if self._recording.dirty else _HEARTBEAT_S
        if self._what() != self._told_what or now - self._told >= due:
            self.tell(now)

    def saw(self, frame: StoreFrame, preview: Preview) -> None:
        """What the writer has seen of a frame, to be told while it is the last one of its series."""
        self._seen = (frame, preview)

    def flushed(self, now: float, *, more: bool) -> None:
        """Tells how far a flush has got that was not told yet; now and then only, while more frames come."""
        if self._recording.series is not self._told_series and (not more or now - self._told >= _STATUS_S):
            self.tell(now)

    def _what(self) -> tuple[object, ...]:
        """What is told at once when it changes; a series that begins and ends in one batch is such a change too."""
        recording, series = self._recording, self._recording.series
        return recording.state, recording.reason, series and (series.series_id, series.state)

    def tell(self, now: float) -> None:
        """Tells everything."""
        recording, (frame, preview) = self._recording, self._seen
        self._told, self._told_what, self._told_series = now, self._what(), recording.series
        status = WriterStatus(
            state=recording.state,
            reason=recording.reason,
            live=self._live.endpoint,
            free_bytes=self._free_bytes(now),
            prepared=recording.prepared,
            connections=self._receiver.connections,
            series=recording.series,
            notes=recording.notes,
            unclosed=str(recording.unclosed) if recording.unclosed else None,
            preview=preview if recording.last_stored is frame else None,
        )
        self._link.send(status)

    def _free_bytes(self, now: float) -> int | None:
        """Asked for once a second: on a network file system it is a question to its server."""
        if now - self._looked >= _HEARTBEAT_S:
            self._looked = now
            try:
                self._free = self._recording.free_bytes()
            except RecorderError:
                self._free = None
        return self._free
