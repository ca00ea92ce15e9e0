"""What must be in the file, whatever happens to the messages on their way: a model of the recorder in sets and dicts.

It follows docs/stins.md ("Disorder") and shares no code with the recorder: no rows, spans, counters or files.
"""

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Message", "Model", "Recorded"]


@dataclass(frozen=True)
class Message:
    """A message as its sender made it; `serial` is unique, and what every pixel of the frame is."""

    message_id: int
    series: str
    kind: str  # start, data, end
    parts: tuple[bytes, ...]
    serial: int = 0
    frame: int = 0
    discard: bool = False
    retake: bool = False
    dropped: tuple[tuple[int, int], ...] = ()
    layout: str = ""  # data: of its parts; "strange" is none that was announced
    expected: int | None = None  # start: how many frames are announced
    made: int = 0  # end: how many frames the series has, dropped ones included
    before: tuple["Message", ...] = ()  # end: the data messages of the series

    def __repr__(self) -> str:
        said = [word for word in ("discard", "retake") if getattr(self, word)]
        said += [self.layout] if self.layout else []
        said += [f"{word}={value}" for word in ("serial", "frame", "dropped", "made") if (value := getattr(self, word))]
        return " ".join([f"<{self.message_id} {self.kind} {self.series}", *said]) + ">"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # hypothesis asks for it


@dataclass
class Recorded:
    """One series as it must have been recorded."""

    start: Message
    layout: str = ""  # of the first frame that was written: one that looks unlike it is refused
    came: dict[int, Message] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    rowless: set[int] = field(default_factory=set)
    touched: set[int] = field(default_factory=set)  # rows that were written at some time
    top: int = 0
    retaken: int = 0
    acked: dict[int, Message] = field(default_factory=dict)  # what was written at the last flush
    repeated: int = 0
    foreign: bool = False  # has messages of another series: the start of that one and the end of this one were lost
    end: Message | None = None
    _handled: set[int] = field(default_factory=set)
    _retake: tuple[int, int] = (-1, 0)

    @property
    def written(self) -> dict[int, Message]:
        """The frames that must be in the file."""
        return {n: m for n, m in self.came.items() if not m.discard and n not in self.refused}

    @property
    def discarded(self) -> set[int]:
        """The frames that came and were not to be recorded."""
        return {n for n, m in self.came.items() if m.discard}

    @property
    def received(self) -> int:
        """The frames that came; one that cannot stand in the file counts as missing."""
        return len(self.written) + len(self.discarded) + self.retaken

    @property
    def knowable(self) -> bool:
        """Whether anybody can know which frames were lost.

        Nobody can where a message was lost that took frames again, or that named dropped ones, and no number of frames
        is announced.
        """
        if self.foreign or self.start.expected is not None or self.end is None:
            return not self.foreign
        return not self._lost or not any(m.retake or m.dropped for m in (*self.end.before, self.end))

    @property
    def _lost(self) -> list[Message]:
        return [m for m in self.end.before if m.message_id not in self._handled] if self.end else []

    @property
    def whole(self) -> bool:
        """Whether the series is complete."""
        return self.end is not None and not self.missing and not self.repeated and not self._lost

    @property
    def frames(self) -> int:
        """How many frames the series must account for."""
        return max(self.top, self.start.expected or 0, self.end.made if self.end else 0)

    @property
    def missing(self) -> set[int]:
        """The frames that must be listed as missing."""
        return set(range(self.frames)) - set(self.written) - self.discarded

    @property
    def rows(self) -> list[int]:
        """The frame number of each row."""
        return [n for n in range(self.frames) if n not in self.rowless]

    def add(self, message: Message, *, late: bool) -> None:
        """A data message in its turn, or one whose gap was given up before it came."""
        self.foreign |= message.series != self.start.series
        self._handled.add(message.message_id)
        frame = message.frame
        if late and self._is_void(message):
            return
        named = [n for first, last in message.dropped for n in range(first, last + 1) if n in self.came]
        if not late and ((message.retake and frame < self.top) or min([frame, *named]) < frame):
            self._take_again(message, message.frame)
        if frame in self.came:
            self.repeated += 1
            return
        self.came[frame] = message
        if not message.discard:
            self._write(message)
        if message.discard and frame >= self.top:
            self.rowless.add(frame)
        self.top = max(self.top, frame + 1)

    def _write(self, message: Message) -> None:
        if message.layout == "strange" or (self.layout and message.layout != self.layout):
            self.refused.add(message.frame)
        else:
            self.layout = message.layout
            self.touched.add(len(set(range(message.frame)) - self.rowless))

    def close(self, message: Message) -> None:
        """The series-end in its turn."""
        self.end = message
        self.foreign |= message.series != self.start.series
        self._take_again(message, self.top)
        self.top = max([self.top, *(last + 1 for _, last in message.dropped)])

    def _take_again(self, message: Message, frame: int) -> None:
        """Taken again is everything from a `retake` on, or from a frame on that is named as dropped though it came."""
        named = {n for first, last in message.dropped for n in range(first, last + 1)}
        cut = min([frame, *(named & self.came.keys())])
        if cut >= self.top or (cut == frame and not message.retake):
            return
        void = [n for n in self.came if n >= cut]
        self.retaken += len(void)
        for n in void:
            del self.came[n]
        self.rowless -= set(void)
        self.refused -= set(void)
        self.top, self._retake = cut, (message.message_id, cut)

    def _is_void(self, message: Message) -> bool:
        """From before a retake of its frame: it fills no gap of the frames that came after."""
        before, cut = self._retake
        return message.message_id < before and message.frame >= cut


class Model:
    """Takes what the recorder takes, in the same order; `series` is what must come of it."""

    def __init__(self, window: int) -> None:
        self.series: list[Recorded] = []
        self._window = window
        self._open: Recorded | None = None
        self._next: int | None = None
        self._waiting: dict[int, Message | None] = {}
        self._given_up: set[int] = set()

    def arrive(self, message: Message) -> None:
        """A message came as it was sent."""
        self._next = message.message_id if self._next is None else self._next
        if message.message_id < self._next:
            self._late(message)
        elif message.message_id not in self._waiting:
            self._waiting[message.message_id] = message
            self._settle(self._window)

    def arrive_damaged(self, message: Message) -> None:
        """A message came that says something else than it has; its id could be read."""
        if self._next is not None and message.message_id >= self._next:
            self._waiting.setdefault(message.message_id, None)
            self._settle(self._window)

    def wait(self) -> None:
        """Time passes: what does not come is given up."""
        self._settle(0)

    def gone(self) -> None:
        """The sender has died."""
        self._settle(0)
        self._open = None

    def _settle(self, most: int) -> None:
        while self._next in self._waiting or len(self._waiting) > most:
            assert self._next is not None  # or nothing would wait
            if self._next not in self._waiting:
                self._given_up |= set(range(self._next, min(self._waiting)))
                self._next = min(self._waiting)
            message = self._waiting.pop(self._next)
            self._next += 1
            if message is None:
                self._given_up.add(self._next - 1)
            else:
                self._handle(message)

    def _late(self, message: Message) -> None:
        if message.kind == "start":
            if message.series not in [s.start.series for s in self.series]:
                self._waiting.clear()
                self._next = message.message_id + 1
                self._open = None
                self._handle(message)
        elif message.message_id in self._given_up:
            self._given_up.remove(message.message_id)
            self._handle(message, late=True)

    def _handle(self, message: Message, *, late: bool = False) -> None:
        if message.kind == "start":
            self._open = Recorded(message)
            self.series.append(self._open)
            self._given_up = set()
        elif self._open is not None and message.kind == "data":
            self._open.add(message, late=late)
        elif self._open is not None:
            self._open.close(message)
            self._open = None
