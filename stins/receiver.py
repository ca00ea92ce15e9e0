"""The receiver's series machine: messages in, instructions out. No socket, file, thread or clock.

What it does with each disorder is part of the protocol (docs/stins.md, "Disorder"); the rows of that table
are the methods here.
"""

from collections.abc import Callable
from enum import Enum
from typing import Final, TypeAlias

from msgspec import UNSET

from .checkpoint import ReceiverCheckpoint
from .errors import LocalProtocolError
from .instructions import DiscardFrame, EndSeries, Instruction, OpenSeries, Report, StoreFrame
from .messages import Data, Header, Packet, SeriesEnd, SeriesStart, frame_count
from .ordering import Held, ReorderWindow
from .series import Outcome, SeriesAccount, SeriesResult
from .spans import Spans
from .starts import KnownStarts
from .words import how_many, spanned

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


class SeriesReceiver:
    """Receives one stream: `receive` each packet, `tick` while nothing comes.

    `strays` are the messages that came with no series open since the last series began, `duplicates` all there were.
    """

    def __init__(self, *, window: ReorderWindow | None = None, idle_timeout_s: float | None = None) -> None:
        # Not `window or ...`: an empty window is false.
        self._window = ReorderWindow() if window is None else window
        self._idle_timeout_s = idle_timeout_s
        self._series: SeriesAccount | None = None
        self._series_id: str | None = None
        self._next_id: int | None = None
        self._replay_until: float | None = None
        self._crowded = False
        self._lost = Spans()
        self._starts = KnownStarts()
        self._last_message = 0.0
        self._said: set[str] = set()
        self.strays = 0
        self.duplicates = 0

    @classmethod
    def resume(
        cls,
        checkpoint: ReceiverCheckpoint,
        start: SeriesStart | None,
        now: float,
        *,
        window: ReorderWindow | None = None,
        idle_timeout_s: float | None = None,
        replay: bool = False,
        replay_timeout_s: float = 10.0,
    ) -> "SeriesReceiver":
        """The receiver as it was at the checkpoint; `start` is that of the open series.

        With `replay` everything behind the checkpoint is to come again: until the next message in order comes, or
        `replay_timeout_s` has passed, no gap is given up. Without, the usual rule holds at once.

        Raises:
            LocalProtocolError: a series is open in the checkpoint, and `start` is None.
        """
        self = cls(window=window, idle_timeout_s=idle_timeout_s)
        self._lost = Spans(checkpoint.lost)
        if checkpoint.account is not None:
            if start is None:
                raise LocalProtocolError("got a checkpoint with an open series and no series-start to resume it with")
            self._series = SeriesAccount.resume(start, checkpoint.account, self._lost)
        self._series_id = checkpoint.series_id
        self._next_id = checkpoint.next_id
        if replay and checkpoint.next_id is not None:
            self._replay_until = now + replay_timeout_s
        self._starts = KnownStarts(checkpoint.starts)
        self._said = set(checkpoint.said)
        self.strays, self.duplicates = checkpoint.strays, checkpoint.duplicates
        self._last_message = now
        return self

    def checkpoint(self) -> ReceiverCheckpoint:
        """All that `resume` needs, the series-start aside; what waits in the window must come again."""
        return ReceiverCheckpoint(
            next_id=self._next_id,
            series_id=self._series_id,
            account=self._series.checkpoint() if self._series else None,
            lost=self._lost.as_tuple(),
            starts=self._starts.as_tuple(),
            said=tuple(sorted(self._said)),
            strays=self.strays,
            duplicates=self.duplicates,
        )

    @property
    def settled(self) -> tuple[str | None, int | None]:
        """Id of the series started last, and the highest message_id handled; what waits in the window is not."""
        return self._series_id, None if self._next_id is None else self._next_id - 1

    @property
    def awaits_replay(self) -> bool:
        """Whether the receiver was resumed and the next message has not come again yet."""
        return self._replay_until is not None

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
            if self._replay_until is not None:
                self._replayed()
            self._next_id = message_id + 1
            done = self._handle(packet)
            return done + self._drain(now) if self._window else done
        if message_id > self._next_id:
            return self._ahead(packet, now)
        return self._behind(packet)

    def refuse(self, message_id: int | None, problem: str, now: float) -> list[Instruction]:
        """A message came that the codec refused: its place in the order is taken, its frames are missing."""
        self._last_message = now
        if message_id is None or self._next_id is None or message_id < self._next_id or message_id in self._window:
            return self._refused(problem)
        return self._hold(message_id, problem, now)

    def tick(self, now: float) -> list[Instruction]:
        """Time passes: a gap is given up, an idle series ends."""
        if self._replay_until is not None and now >= self._replay_until:
            self._replay_until = None
        done = self._drain(now)
        idle = self._idle_timeout_s
        if self._series and idle is not None and now - self._last_message >= idle:
            done += self.sender_gone(f"no message for {idle:g} s")
        return done

    def sender_gone(self, why: str) -> list[Instruction]:
        """The sender's connection is gone: what waits is used, the series ends."""
        return self._give_up(why, gone=True)

    def stop(self, why: str) -> list[Instruction]:
        """The receiver itself stops: the open series ends as incomplete."""
        return self._give_up(why, gone=False)

    def _give_up(self, why: str, *, gone: bool) -> list[Instruction]:
        done: list[Instruction] = []
        self._replay_until = None
        while self._window:
            done += self._skip() + self._drain(self._last_message)
        return done + self._finish(None, why, gone=gone)

    # -- order ----------------------------------------------------------------------------------

    def _ahead(self, packet: Packet, now: float) -> list[Instruction]:
        message_id = packet.header.message_id
        if message_id in self._window:
            return self._duplicate(packet)
        return self._hold(message_id, packet, now)

    def _hold(self, message_id: int, held: Held, now: float) -> list[Instruction]:
        if self._replay_until is None or self._window.fits(held):
            self._window.put(message_id, held, now)
        else:
            # What is to come again need not be held at the price of what is to come first.
            self._crowded = True
            if _bounds_a_series(held) and self._window.give_way():
                self._window.put(message_id, held, now)
        return self._drain(now)

    def _replayed(self) -> None:
        """The replay has begun: what was held comes again behind this message, and waiting for it would time out."""
        self._replay_until, self._crowded = None, False
        self._window.clear()

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
            if not self._series.is_void(header):
                return self._data(packet, late=True)
            self._series.pass_void(frame_count(header))
            return self._duplicate(packet)
        return self._handle(packet)

    def _restart(self, packet: Packet) -> list[Instruction]:
        """The sender restarted: nothing of before gets into the new series."""
        self._replay_until = None
        forgotten = self._window.clear()
        if self._series and forgotten:
            self._series.note(f"{how_many(forgotten, 'message')} came out of order before the sender restarted")
        done = self._finish(None, "the sender restarted")
        self._next_id = packet.header.message_id + 1
        return done + self._handle(packet)

    def _drain(self, now: float) -> list[Instruction]:
        """Handles what waits, as far as it goes on without a gap or the gap has been waited for long enough."""
        done: list[Instruction] = []
        while self._next_id is not None:
            if self._next_id in self._window:
                message_id, held = self._next_id, self._window.take(self._next_id)
                self._next_id += 1
                if isinstance(held, str):
                    self._lost.add(message_id, message_id)
                    done += self._refused(held)
                else:
                    done += self._handle(held)
            elif self._replay_until is None and self._window.exhausted(now):
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
        what = "did not come, or found no room while all was to come again" if self._crowded else "did not come"
        messages = spanned("message", first, self._next_id - 1)
        return self._report("gap", f"{messages} {what}; going on with {self._next_id}")

    def _refused(self, problem: str) -> list[Instruction]:
        text = f"refused a message: {problem}"
        if self._series:
            self._series.refused += 1
            self._series.note(text)
        return self._report("refused", text)

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
        self._series_id = None if start.series is UNSET or start.series.id is UNSET else start.series.id
        self._lost = self._series.lost_messages
        self._starts.add(start)
        self._said.clear()
        self.strays = 0
        return [OpenSeries(start, packet.payload), *self._moved(packet)]

    def _reopen(self, packet: Packet) -> list[Instruction]:
        return self._finish(None, "a new series started before this one ended") + self._open(packet)

    def _data(self, packet: Packet, *, late: bool = False) -> list[Instruction]:
        series, header = self._series, packet.header
        assert series is not None and isinstance(header, Data)  # noqa: S101, PT018  # by the table
        done = self._moved(packet) if packet.moved else []
        count = frame_count(header)
        if series.share is not None and (wrong := series.misdealt(header, count)):
            return done + self._refused(wrong)
        rewound = not late and series.takes_again(header)
        row = series.add(header, count, late=late)
        if row is None:
            return done + self._repeated(header)
        if header.discard:
            done.append(DiscardFrame(packet, header, row, rewound))
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

    def _finish(self, end: SeriesEnd | None, failure: str, *, gone: bool = False) -> list[Instruction]:
        series, self._series = self._series, None
        return [] if series is None else [EndSeries(series.close(end, failure), gone)]

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


def _bounds_a_series(held: Held) -> bool:
    """Without its end, should nothing come again, a series would stay open or take the frames of the next."""
    return isinstance(held, Packet) and not isinstance(held.header, Data)


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
