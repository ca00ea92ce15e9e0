"""The receiver's series machine: messages in, instructions out. No socket, file, thread or clock.

What it does with each disorder is part of the protocol (docs/stins.md, "Disorder"); the rows of that table
are the methods here.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET

from .messages import Data, Header, Packet, Payload, SeriesEnd, SeriesStart, frame_count
from .ordering import ReorderWindow
from .series import Outcome, SeriesAccount, SeriesResult
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


# A sender that sends again from its ring repeats a start or two; so many ids of series are kept to know them by.
_STARTS_REMEMBERED = 16


class ReceiverState(Enum):
    """Whether a series is open."""

    IDLE = "idle"
    OPEN = "open"


class OpenSeries(msgspec.Struct, frozen=True):
    """A series begins."""

    start: SeriesStart
    payload: tuple[Payload, ...]


class StoreFrame(msgspec.Struct, frozen=True, gc=False):
    """Frame(s) for rows `row` to `row + count - 1`; a missing frame keeps its row, a discarded one has none.

    A row that was given before is a frame taken again: it takes the place of the first. `rewound`: every frame from
    this one on is taken again, and the rows behind it are void (a late message with `retake` only fills its gap).
    """

    packet: Packet
    header: Data
    row: int
    count: int
    rewound: bool = False


class DiscardFrame(msgspec.Struct, frozen=True):
    """A frame that is forwarded and counted, not recorded; `rewound` as in StoreFrame."""

    packet: Packet
    header: Data
    rewound: bool = False


class EndSeries(msgspec.Struct, frozen=True):
    """The series is over."""

    result: SeriesResult


class Report(msgspec.Struct, frozen=True):
    """Something a human should read; once per kind and series."""

    kind: str
    text: str


Instruction: TypeAlias = OpenSeries | StoreFrame | DiscardFrame | EndSeries | Report


class SeriesReceiver:
    """Receives one stream: `receive` each packet, `tick` while nothing comes."""

    def __init__(self, *, window: ReorderWindow | None = None, idle_timeout_s: float | None = None) -> None:
        # Not `window or ...`: an empty window is false.
        self._window = ReorderWindow() if window is None else window
        self._idle_timeout_s = idle_timeout_s
        self._series: SeriesAccount | None = None
        self._next_id: int | None = None
        self._lost = Spans()
        self._starts: deque[SeriesStart] = deque(maxlen=_STARTS_REMEMBERED)
        self._last_message = 0.0
        self._said: set[str] = set()
        self.strays = 0
        self.duplicates = 0

    @property
    def state(self) -> ReceiverState:
        """Whether a series is open."""
        return ReceiverState.IDLE if self._series is None else ReceiverState.OPEN

    def account(self) -> SeriesResult | None:
        """The account of the open series so far (it counts as incomplete until it has ended)."""
        return self._series.snapshot() if self._series else None

    # -- events ---------------------------------------------------------------------------------

    def receive(self, packet: Packet, now: float) -> list[Instruction]:
        """A message came in; `now` is monotonic time in seconds."""
        self._last_message = now
        message_id = packet.header.message_id
        if self._next_id is None or message_id == self._next_id:
            self._next_id = message_id + 1
            done = self._handle(packet)
            return done + self._drain(now) if self._window else done
        if message_id > self._next_id:
            return self._ahead(packet, now)
        return self._behind(packet)

    def refuse(self, message_id: int | None, problem: str, now: float) -> list[Instruction]:
        """A message came that the codec refused: its place in the order is taken, its frames are missing."""
        self._last_message = now
        if self._series:
            self._series.refused += 1
            self._series.note(f"refused a message: {problem}")
        done = self._report("refused", f"refused a message: {problem}")
        if message_id is None or self._next_id is None:
            return done
        if message_id >= self._next_id and message_id not in self._window:
            self._window.put(message_id, None, now)
            done += self._drain(now)
        return done

    def tick(self, now: float) -> list[Instruction]:
        """Time passes: a gap is given up, an idle series ends."""
        done = self._drain(now)
        idle = self._idle_timeout_s
        if self._series and idle is not None and now - self._last_message >= idle:
            done += self.sender_gone(f"no message for {idle:g} s")
        return done

    def sender_gone(self, why: str) -> list[Instruction]:
        """The sender's connection is gone: what waits is used, the series ends."""
        done: list[Instruction] = []
        while self._window:
            done += self._skip() + self._drain(self._last_message)
        return done + self._finish(None, why)

    def stop(self, why: str) -> list[Instruction]:
        """The receiver itself stops: the open series ends as incomplete."""
        return self.sender_gone(why)

    # -- order ----------------------------------------------------------------------------------

    def _ahead(self, packet: Packet, now: float) -> list[Instruction]:
        message_id = packet.header.message_id
        if message_id in self._window:
            return self._duplicate(packet)
        self._window.put(message_id, packet, now)
        return self._drain(now)

    def _behind(self, packet: Packet) -> list[Instruction]:
        header = packet.header
        if isinstance(header, SeriesStart):
            # Without a series id, a start that looks the same may well be the next one of a restarted sender.
            named = header.series is not UNSET and header.series.id is not UNSET
            return self._duplicate(packet) if named and header in self._starts else self._restart(packet)
        if header.message_id not in self._lost:
            return self._duplicate(packet)
        self._lost.remove(header.message_id, header.message_id)
        if self._series and isinstance(header, Data):
            void = self._series.is_void(header)
            return self._duplicate(packet) if void else self._data(packet, late=True)
        return self._handle(packet)

    def _restart(self, packet: Packet) -> list[Instruction]:
        """The sender restarted: nothing of before gets into the new series."""
        forgotten = self._window.clear()
        if self._series and forgotten:
            self._series.note(f"{forgotten} messages came out of order before the sender restarted")
        done = self._finish(None, "the sender restarted")
        self._next_id = packet.header.message_id + 1
        return done + self._handle(packet)

    def _drain(self, now: float) -> list[Instruction]:
        """Handles what waits, as far as it goes on without a gap or the gap has been waited for long enough."""
        done: list[Instruction] = []
        while self._next_id is not None:
            if self._next_id in self._window:
                message_id, packet = self._next_id, self._window.take(self._next_id)
                self._next_id += 1
                if packet is None:
                    self._lost.add(message_id, message_id)
                else:
                    done += self._handle(packet)
            elif self._window.exhausted(now):
                done += self._skip()
            else:
                break
        return done

    def _skip(self) -> list[Instruction]:
        """Gives up the gap in front of what waits."""
        first, self._next_id = self._next_id, self._window.first()
        assert first is not None  # noqa: S101  # a window holds something only after a first message
        if first == self._next_id:
            return []
        self._lost.add(first, self._next_id - 1)
        return self._report(
            "gap", f"messages {first} to {self._next_id - 1} did not come; going on with {self._next_id}"
        )

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
        return self._report("stray", f"got {kind} {packet.header.message_id} with no series open; kept nothing of it")

    def _open(self, packet: Packet) -> list[Instruction]:
        start = packet.header
        assert isinstance(start, SeriesStart)  # noqa: S101  # by the table
        self._series = SeriesAccount(start)
        self._lost = self._series.lost_messages
        self._starts.append(start)
        self._said.clear()
        return [OpenSeries(start, packet.payload), *self._moved(packet)]

    def _reopen(self, packet: Packet) -> list[Instruction]:
        return self._finish(None, "a new series started before this one ended") + self._open(packet)

    def _data(self, packet: Packet, *, late: bool = False) -> list[Instruction]:
        series, header = self._series, packet.header
        assert series is not None and isinstance(header, Data)  # noqa: S101, PT018  # by the table
        done = self._moved(packet) if packet.moved else []
        count = frame_count(header)
        rewound = not late and series.takes_again(header)
        row = series.add(header, count, late=late)
        if row is None:
            return done + self._repeated(header)
        if header.discard:
            done.append(DiscardFrame(packet, header, rewound))
        else:
            done.append(StoreFrame(packet, header, row, count, rewound))
        return done

    def _repeated(self, header: Data) -> list[Instruction]:
        text = f"dropped message {header.message_id}: frame_number {header.frame_number} came before, expected `retake`"
        return self._report("repeated", text)

    def _end(self, packet: Packet) -> list[Instruction]:
        header = packet.header
        assert isinstance(header, SeriesEnd)  # noqa: S101  # by the table
        return self._moved(packet) + self._finish(header, "")

    def _finish(self, end: SeriesEnd | None, failure: str) -> list[Instruction]:
        series, self._series = self._series, None
        return [] if series is None else [EndSeries(series.close(end, failure))]

    # -- words ----------------------------------------------------------------------------------

    def _moved(self, packet: Packet) -> list[Instruction]:
        if not packet.moved or self._series is None:
            return []
        self._series.moved_keys.update(packet.moved)
        keys = ", ".join(packet.moved)
        return self._report("unknown-keys", f"moved unknown keys into detector_specific: {keys}")

    def _report(self, kind: str, text: str) -> list[Instruction]:
        if kind in self._said:
            return []
        self._said.add(kind)
        return [Report(kind, text)]


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
