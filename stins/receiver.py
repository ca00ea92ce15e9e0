"""The receiver's series machine: messages in, instructions out. No socket, file, thread or clock.

What it does with each disorder is part of the protocol (docs/stins.md, "Disorder"); the rows of that table
are the methods here.
"""

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET

from .messages import Data, Header, Packet, Payload, SeriesEnd, SeriesStart, frame_count
from .ordering import ReorderWindow
from .spans import Spans

__all__ = [
    "DiscardFrame",
    "EndSeries",
    "Instruction",
    "OpenSeries",
    "Outcome",
    "ReceiverState",
    "Report",
    "SeriesReceiver",
    "SeriesResult",
    "StoreFrame",
]


class ReceiverState(Enum):
    """Whether a series is open."""

    IDLE = "idle"
    OPEN = "open"


class Outcome(Enum):
    """How a series ended: complete only if every frame is there and the sender said `finished`."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"


class SeriesResult(msgspec.Struct, frozen=True, kw_only=True):
    """The account of one series: received = stored + discarded + retaken; expected = stored + discarded + missing."""

    outcome: Outcome
    reasons: tuple[str, ...]
    received: int
    stored: int
    discarded: int
    retaken: int
    rows: int
    missing: tuple[tuple[int, int], ...]
    duplicates: int
    refused: int
    moved_keys: tuple[str, ...]
    frames_expected: int | None
    end: SeriesEnd | None

    @property
    def missing_count(self) -> int:
        """How many frames are missing."""
        return sum(last - first + 1 for first, last in self.missing)


class OpenSeries(msgspec.Struct, frozen=True):
    """A series begins."""

    start: SeriesStart
    payload: tuple[Payload, ...]


class StoreFrame(msgspec.Struct, frozen=True, gc=False):
    """Frame(s) for rows `row` … `row + count - 1`; a missing frame keeps its row, a discarded one has none."""

    packet: Packet
    header: Data
    row: int
    count: int


class DiscardFrame(msgspec.Struct, frozen=True):
    """A frame that is forwarded and counted, not recorded."""

    packet: Packet


class EndSeries(msgspec.Struct, frozen=True):
    """The series is over."""

    result: SeriesResult


class Report(msgspec.Struct, frozen=True):
    """Something a human should read; once per kind and series."""

    kind: str
    text: str


Instruction: TypeAlias = OpenSeries | StoreFrame | DiscardFrame | EndSeries | Report


class _Series:
    """What is known of the open series."""

    def __init__(self, start: SeriesStart) -> None:
        self.start = start
        self.next_frame = 0
        self.received = 0
        self.retaken = 0
        self.duplicates = 0
        self.refused = 0
        self.discarded = Spans()
        self.discarded_count = 0
        self.missing = Spans()
        self.declared = Spans()
        self.moved_keys: set[str] = set()
        self.notes: list[str] = []
        self.failure = ""

    @property
    def frames_expected(self) -> int | None:
        series = self.start.series
        return None if series is UNSET or series.frames_expected is UNSET else series.frames_expected

    def row_of(self, frame: int) -> int:
        """The row of a frame: its number less the discarded ones before it."""
        if frame >= self.next_frame:
            return frame - self.discarded_count
        return frame - sum(
            min(last, frame - 1) - first + 1 for first, last in self.discarded if first < frame
        )


class SeriesReceiver:
    """Receives one stream: `receive` each packet, `tick` while nothing comes."""

    def __init__(self, *, window: ReorderWindow | None = None, idle_timeout_s: float | None = None) -> None:
        self._window = window or ReorderWindow()
        self._idle_timeout_s = idle_timeout_s
        self._series: _Series | None = None
        self._next_id: int | None = None
        self._skipped = Spans()
        self._refused_ids: set[int] = set()
        self._last_start: SeriesStart | None = None
        self._last_message = 0.0
        self._said: set[str] = set()
        self.strays = 0
        self.duplicates = 0

    @property
    def state(self) -> ReceiverState:
        """Whether a series is open."""
        return ReceiverState.IDLE if self._series is None else ReceiverState.OPEN

    @property
    def received(self) -> int:
        """Frames received in the open series."""
        return self._series.received if self._series else 0

    @property
    def missing(self) -> Spans:
        """Frames known to be missing in the open series, so far."""
        return self._series.missing if self._series else Spans()

    @property
    def discarded(self) -> int:
        """Frames of the open series that were not to be recorded."""
        return self._series.discarded_count if self._series else 0

    # -- events ---------------------------------------------------------------------------------

    def receive(self, packet: Packet, now: float) -> list[Instruction]:
        """A message came in; `now` is monotonic time in seconds."""
        self._last_message = now
        message_id = packet.header.message_id
        if self._next_id is None or message_id == self._next_id:
            self._next_id = message_id + 1
            done = self._handle(packet)
            return done + self._drain(now) if len(self._window) else done
        if message_id > self._next_id:
            return self._ahead(packet, now)
        return self._behind(packet)

    def refuse(self, message_id: int | None, problem: str, now: float) -> list[Instruction]:
        """A message came that the codec refused: its place in the order is taken, its frames are missing."""
        self._last_message = now
        if self._series:
            self._series.refused += 1
            self._note(f"refused a message: {problem}")
        done: list[Instruction] = self._report("refused", f"refused a message: {problem}")
        if message_id is not None and self._next_id is not None and message_id >= self._next_id:
            self._refused_ids.add(message_id)
            done += self._drain(now)
        return done

    def tick(self, now: float) -> list[Instruction]:
        """Time passes: a gap is given up, an idle series ends."""
        done = self._drain(now)
        idle = self._idle_timeout_s
        if self._series and idle is not None and now - self._last_message >= idle:
            done += self._finish(None, f"no message for {idle:g} s")
        return done

    def sender_gone(self, why: str) -> list[Instruction]:
        """The sender's connection is gone: what waits is used, the series ends."""
        done = self._give_up_gaps()
        return done + self._finish(None, why) if self._series else done

    def stop(self, why: str) -> list[Instruction]:
        """The receiver itself stops: the open series ends as incomplete."""
        return self.sender_gone(why)

    # -- order ----------------------------------------------------------------------------------

    def _ahead(self, packet: Packet, now: float) -> list[Instruction]:
        if packet.header.message_id in self._window:
            return self._duplicate(packet)
        self._window.put(packet, now)
        return self._drain(now)

    def _behind(self, packet: Packet) -> list[Instruction]:
        header = packet.header
        if isinstance(header, SeriesStart):
            # Without a series id, a start that looks the same may well be the next one of a restarted sender.
            named = header.series is not UNSET and header.series.id is not UNSET
            return self._duplicate(packet) if named and header == self._last_start else self._restart(packet)
        if header.message_id in self._skipped:
            self._skipped.remove(header.message_id, header.message_id)
            return self._handle(packet) if isinstance(header, Data) else self._duplicate(packet)
        return self._duplicate(packet)

    def _restart(self, packet: Packet) -> list[Instruction]:
        """The sender restarted: nothing of before gets into the new series."""
        forgotten = self._window.clear()
        self._refused_ids.clear()
        done: list[Instruction] = []
        if self._series:
            if forgotten:
                self._note(f"{forgotten} messages came out of order before the sender restarted")
            done = self._finish(None, "the sender restarted")
        self._next_id = packet.header.message_id + 1
        return done + self._handle(packet)

    def _drain(self, now: float) -> list[Instruction]:
        done: list[Instruction] = []
        while self._next_id is not None:
            if self._next_id in self._refused_ids:
                self._refused_ids.discard(self._next_id)
                self._next_id += 1
            elif (packet := self._window.take(self._next_id)) is not None:
                self._next_id += 1
                done += self._handle(packet)
            elif self._window.exhausted(now):
                done += self._skip()
            else:
                break
        return done

    def _give_up_gaps(self) -> list[Instruction]:
        done: list[Instruction] = []
        while len(self._window):
            done += self._skip()
            done += self._drain(self._last_message)
        return done

    def _skip(self) -> list[Instruction]:
        assert self._next_id is not None  # noqa: S101  # a window holds something only after a first message
        first, self._next_id = self._next_id, self._window.first()
        self._skipped.add(first, self._next_id - 1)
        lost = f"messages {first} to {self._next_id - 1} did not come"
        self._note(lost)
        return self._report("gap", f"{lost}; going on with {self._next_id}")

    def _duplicate(self, packet: Packet) -> list[Instruction]:
        self.duplicates += 1
        if self._series:
            self._series.duplicates += 1
        return self._report("duplicate", f"dropped message {packet.header.message_id}, which came before")

    # -- the series -----------------------------------------------------------------------------

    def _handle(self, packet: Packet) -> list[Instruction]:
        return _TABLE[self.state, type(packet.header)](self, packet)

    def _stray(self, packet: Packet) -> list[Instruction]:
        self.strays += 1
        kind = packet.header.__struct_config__.tag
        return self._report(
            "stray", f"got {kind} {packet.header.message_id} with no series open; kept nothing of it"
        )

    def _open(self, packet: Packet) -> list[Instruction]:
        start = packet.header
        assert isinstance(start, SeriesStart)  # noqa: S101  # by the table
        self._series = _Series(start)
        self._last_start = start
        self._said.clear()
        self._skipped = Spans()
        return [OpenSeries(start, packet.payload), *self._moved(packet)]

    def _reopen(self, packet: Packet) -> list[Instruction]:
        return self._finish(None, "a new series started before this one ended") + self._open(packet)

    def _data(self, packet: Packet) -> list[Instruction]:
        series, header = self._series, packet.header
        assert series is not None and isinstance(header, Data)  # noqa: S101, PT018  # by the table
        count = frame_count(header)
        done = self._moved(packet) if packet.moved else []
        frame = header.frame_number
        if header.frames_dropped:
            _declare(series, header.frames_dropped)
        if frame < series.next_frame:
            if header.retake:
                self._rewind(frame)
            elif frame not in series.missing:
                return done + self._duplicate(packet)
        row = series.row_of(frame)
        if frame > series.next_frame:
            series.missing.add(series.next_frame, frame - 1)
        elif frame < series.next_frame:
            series.missing.remove(frame, frame + count - 1)
        series.next_frame = max(series.next_frame, frame + count)
        series.received += count
        if header.discard:
            series.discarded.add(frame, frame + count - 1)
            series.discarded_count += count
            done.append(DiscardFrame(packet))
        else:
            done.append(StoreFrame(packet, header, row, count))
        return done

    def _rewind(self, frame: int) -> None:
        """Everything from this frame on is taken again: what was received of it counts as retaken."""
        series = self._series
        assert series is not None  # noqa: S101
        last = series.next_frame - 1
        series.retaken += last - frame + 1 - series.missing.count_from(frame)
        series.discarded_count -= series.discarded.count_from(frame)
        series.missing.remove(frame, last)
        series.discarded.remove(frame, last)
        series.next_frame = frame

    def _end(self, packet: Packet) -> list[Instruction]:
        header = packet.header
        assert isinstance(header, SeriesEnd)  # noqa: S101
        return self._moved(packet) + self._finish(header, "")

    def _finish(self, end: SeriesEnd | None, why: str) -> list[Instruction]:
        series = self._series
        if series is None:
            return []
        series.failure = why
        if end is not None:
            _settle(series, end)
        if series.frames_expected is not None:
            series.missing.add(series.next_frame, series.frames_expected - 1)
        self._series = None
        return [EndSeries(_result(series, end))]

    # -- words ----------------------------------------------------------------------------------

    def _moved(self, packet: Packet) -> list[Instruction]:
        if not packet.moved or self._series is None:
            return []
        self._series.moved_keys.update(packet.moved)
        keys = ", ".join(packet.moved)
        return self._report("unknown-keys", f"moved unknown keys into detector_specific: {keys}")

    def _note(self, note: str) -> None:
        # A note a frame would make the list endless; the first few tell the story, the counters the rest.
        if self._series and len(self._series.notes) < 10:
            self._series.notes.append(note)

    def _report(self, kind: str, text: str) -> list[Instruction]:
        if kind in self._said:
            return []
        self._said.add(kind)
        return [Report(kind, text)]


def _declare(series: _Series, spans: Iterable[tuple[int, int]]) -> None:
    """The sender names frames that it had to drop."""
    for first, last in spans:
        series.declared.add(first, last)


def _settle(series: _Series, end: SeriesEnd) -> None:
    """Compares what the sender says it sent and dropped with what came."""
    if end.frames_dropped:
        _declare(series, end.frames_dropped)
        last = max(last for _, last in end.frames_dropped)
        series.missing.add(series.next_frame, last)
        series.next_frame = max(series.next_frame, last + 1)
    if end.status not in (UNSET, "finished"):
        series.failure = f"{end.status} by the sender" + (f": {end.reason}" if end.reason else "")
    if end.frames_sent is not UNSET:
        dropped = sum(series.missing.count_between(first, last) for first, last in series.declared)
        lost_inside = series.missing.count - dropped
        lost_behind = end.frames_sent - series.received - lost_inside
        series.missing.add(series.next_frame, series.next_frame + lost_behind - 1)
        series.next_frame += max(lost_behind, 0)


def _reasons(series: _Series) -> tuple[str, ...]:
    """Why the series is not complete; nothing, where it is: a gap that was filled later is no reason."""
    reasons = [series.failure] if series.failure else []
    if series.missing.count:
        reasons.append(f"{series.missing.count} frames are missing")
        reasons += [f"the sender dropped {series.declared.count} of them"] if series.declared.count else []
        reasons += series.notes
    return tuple(reasons)


def _result(series: _Series, end: SeriesEnd | None) -> SeriesResult:
    stored = series.received - series.discarded_count - series.retaken
    reasons = _reasons(series)
    return SeriesResult(
        outcome=Outcome.INCOMPLETE if reasons else Outcome.COMPLETE,
        reasons=reasons,
        received=series.received,
        stored=stored,
        discarded=series.discarded_count,
        retaken=series.retaken,
        rows=series.next_frame - series.discarded_count,
        missing=series.missing.as_tuple(),
        duplicates=series.duplicates,
        refused=series.refused,
        moved_keys=tuple(sorted(series.moved_keys)),
        frames_expected=series.frames_expected,
        end=end,
    )


_Handler: TypeAlias = Callable[[SeriesReceiver, Packet], list[Instruction]]
#: What each state does with each message; a test says that every pair has a row.
_TABLE: Final[dict[tuple[ReceiverState, type[Header]], _Handler]] = {
    (ReceiverState.IDLE, SeriesStart): SeriesReceiver._open,
    (ReceiverState.IDLE, Data): SeriesReceiver._stray,
    (ReceiverState.IDLE, SeriesEnd): SeriesReceiver._stray,
    (ReceiverState.OPEN, SeriesStart): SeriesReceiver._reopen,
    (ReceiverState.OPEN, Data): SeriesReceiver._data,
    (ReceiverState.OPEN, SeriesEnd): SeriesReceiver._end,
}
