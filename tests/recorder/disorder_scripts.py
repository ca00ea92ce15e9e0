"""Scripts of disorder: what senders send, and what becomes of it on the way. Strategies for hypothesis."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from disorder_model import Message
from hypothesis import strategies as st
from msgspec import UNSET

from stins import Data, FrameLayout, Part, SeriesEnd, SeriesHeader, SeriesInfo, SeriesSender, encode

__all__ = ["SHAPE", "Event", "damaged", "scripts", "told"]

SHAPE = (4, 6)
_HALF = (2, 6)
_IMAGE = Part(name="image", shape=SHAPE, dtype="uint16")
_BSLZ4 = Part(name="image", shape=SHAPE, dtype="uint16", compression="bslz4")
_MODULES = tuple(Part(name=f"module_{i}", shape=_HALF, dtype="uint16", offset=(2 * i, 0)) for i in range(2))
_STRANGE = Part(name="image", shape=SHAPE, dtype="uint8")
_LAYOUTS: dict[str, tuple[tuple[Part, ...], Any]] = {
    "plain": ((_IMAGE,), UNSET),
    "bslz4": ((_BSLZ4,), UNSET),
    "modules": (_MODULES, FrameLayout(shape=SHAPE, chunks=_HALF)),
}
_DAMAGES = ("short", "long", "lie", "part too few", "part too many", "no header")
#: How far behind its place a message may come; the window holds fewer.
_FURTHEST = 12


@dataclass(frozen=True)
class Event:
    """What the recorder meets: a message (as it came, if damaged), a pause, a flush, that the sender is gone, or that
    the disk fails, at the next write or at the next flush too."""

    kind: str  # message, pause, flush, gone, write fails, flush fails
    message: Message | None = None
    damage: str = ""

    def __repr__(self) -> str:
        return self.kind if self.message is None else f"{self.message!r} {self.damage}".rstrip()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


@cache
def _compressed(serial: int) -> bytes:
    with h5py.File.in_memory() as file:
        data = np.full(SHAPE, serial, "<u2")
        dataset = file.create_dataset("d", data=data, chunks=SHAPE, **hdf5plugin.Bitshuffle())
        content: bytes = dataset.id.read_direct_chunk((0, 0))[1]
        return content


def _payload(layout: str, serial: int) -> tuple[bytes, ...]:
    if layout == "bslz4":
        return (_compressed(serial),)
    parts, _ = _LAYOUTS[layout]
    return tuple(np.full(part.shape, serial, "<u2").tobytes() for part in parts)


class _Sender:
    """One life of a sender; its messages with what the model must know of them."""

    def __init__(self, serials: "list[int]") -> None:
        self._sender = SeriesSender()
        self._serials = serials
        self.messages: list[Message] = []

    def series(self, name: str, layout: str, steps: Sequence[tuple[str, int]], *, announced: str) -> None:
        begin, number, made = len(self.messages), 0, 0
        top = _top_of(steps)
        expected = {"none": None, "exact": top, "more": top + 2}[announced]
        self._start(name, layout, expected)
        again = False
        for step, count in steps:
            if step == "retake":
                number, again = max(0, number - count), True
                continue
            if step == "drop":
                self._sender.drop(number, number + count - 1)
            else:
                self._frame(name, layout, number, step, again=again)
                again = False
            number = made = number + count
        before = tuple(self.messages[begin + 1 :])
        end = self._sender.end()
        self.messages.append(
            Message(end.message_id, name, "end", (encode(end),), dropped=_spans(end), made=made, before=before)
        )

    def _start(self, name: str, layout: str, expected: int | None) -> None:
        parts, frame = _LAYOUTS["plain" if layout == "bslz4" else layout]
        known = {} if expected is None else {"frames_expected": expected}
        info = SeriesInfo(id=name, source="test", filename=f"{name}.h5", **known)
        start = self._sender.start(SeriesHeader(series=info, data=parts, frame=frame))
        self.messages.append(Message(start.message_id, name, "start", (encode(start),), expected=expected))

    def _frame(self, name: str, layout: str, number: int, step: str, *, again: bool) -> None:
        self._serials.append(len(self._serials) + 1)
        serial, strange = self._serials[-1], step == "strange"
        parts, frame = ((_STRANGE,), UNSET) if strange else _LAYOUTS[layout]
        content = (bytes(24),) if strange else _payload(layout, serial)
        data = self._sender.data(
            number, data=parts, frame=frame, discard=step == "discard" or UNSET, retake=again or UNSET
        )
        self.messages.append(
            Message(
                data.message_id,
                name,
                "data",
                (encode(data), *content),
                serial=serial,
                frame=number,
                discard=step == "discard",
                retake=data.retake is True,
                dropped=_spans(data),
                layout="strange" if strange else layout,
            )
        )


def _spans(header: Data | SeriesEnd) -> tuple[tuple[int, int], ...]:
    return () if header.frames_dropped is UNSET else header.frames_dropped


def _top_of(steps: Sequence[tuple[str, int]]) -> int:
    number = top = 0
    for step, count in steps:
        number = max(0, number - count) if step == "retake" else number + count
        top = max(top, number)
    return top


def damaged(message: Message, damage: str) -> tuple[bytes, ...]:
    """The parts of a message with something wrong in them."""
    header, *payload = message.parts
    if damage == "no header":
        return (header[: len(header) // 2], *payload)
    if not payload or damage == "part too many":
        return (header, *payload, b"too many")
    if damage == "part too few":
        return (header, *payload[:-1])
    first, *others = payload
    # The length of what is compressed proves nothing, but its header can lie, or be cut short.
    compressed = b"bslz4" in header
    if damage == "short":
        wrong = first[:8] if compressed else first[:-1]
    else:
        size = (1 if damage == "lie" else 1 << 40).to_bytes(8, "big")
        wrong = size + first[8:] if compressed else first + b"\0"
    return (header, wrong, *others)


_STEP = st.one_of(
    *[st.just(("frame", 1))] * 5,
    st.sampled_from([("discard", 1), ("discard", 1), ("strange", 1)]),
    st.tuples(st.just("drop"), st.integers(1, 3)),
    st.tuples(st.just("retake"), st.integers(1, 6)),
)
_FATE = st.one_of(
    st.just(("lost", 0)),
    # Behind the window, mostly: its gap is given up before it comes.
    st.tuples(st.just("late"), st.integers(1, _FURTHEST)),
    st.tuples(st.just("late"), st.integers(_FURTHEST // 2, _FURTHEST)),
    st.tuples(st.sampled_from(["twice", "early"]), st.integers(1, _FURTHEST)),
    st.tuples(st.sampled_from(_DAMAGES), st.integers(0, 3)),
    st.sampled_from([("pause", 0), ("flush", 0)]),
)
_FAULT = st.sampled_from([("flush", 0), ("write fails", 0), ("flush fails", 0)])


Steps = Sequence[tuple[str, int]]


def told(steps: Steps, fates: dict[int, tuple[str, int]], *others: Steps) -> list[Event]:
    """Series of frames that are not compressed, with what becomes of some of their messages."""
    sender = _Sender([])
    for index, each in enumerate((steps, *others)):
        sender.series(f"told{index}", "plain", each, announced="none")
    return _on_the_way(sender.messages, fates, furthest=0)


@st.composite
def _series(draw: st.DrawFn) -> tuple[str, list[tuple[str, int]], str]:
    shortest = draw(st.sampled_from([0, 4, 10, 10, 10]))
    steps = draw(st.lists(_STEP, min_size=shortest, max_size=max(4, 2 * shortest)))
    return draw(st.sampled_from(sorted(_LAYOUTS))), steps, draw(st.sampled_from(["none", "exact", "more"]))


@st.composite
def scripts(draw: st.DrawFn, *, faults: bool = False) -> list[Event]:
    """What the recorder meets: one or two lives of a sender, one to three series each, and any disorder; with `faults`
    of the disk too."""
    fate = st.one_of(_FATE, _FAULT) if faults else _FATE
    events: list[Event] = []
    serials: list[int] = []
    for life in range(draw(st.sampled_from([1, 1, 2]))):
        sender = _Sender(serials)
        for index in range(draw(st.sampled_from([1, 1, 2, 3]))):
            layout, steps, announced = draw(_series())
            sender.series(f"life{life}_{index}", layout, steps, announced=announced)
        count = len(sender.messages)
        struck = draw(st.lists(st.tuples(st.integers(0, count - 1), fate), min_size=min(count // 4, 8), max_size=8))
        fates = dict(struck)
        if life:
            # No message has the name of its series: without the start nobody can tell the new life from the old one.
            fates.pop(0, None)
        met = _on_the_way(sender.messages, fates, furthest=0.5 if life else -count)
        dies = draw(st.sampled_from([False, False, True]))
        events += met[: draw(st.integers(1, len(met)))] if dies and met else met
        if draw(st.booleans()):
            events.append(Event("gone"))
    return events


def _on_the_way(messages: Sequence[Message], fates: dict[int, tuple[str, int]], furthest: float) -> list[Event]:
    """The events of one life in the order in which they come; nothing comes before place `furthest`."""
    placed: list[tuple[float, Event]] = []
    last_start = max(place for place, message in enumerate(messages) if message.kind == "start")
    for place, message in enumerate(messages):
        fate, by = fates.get(place, ("", 0))
        if message.kind == "start" and place < last_start and fate in ("late", "twice", "early"):
            # A start that comes behind a later one is taken for a sender's restart, and so it should be.
            fate = ""
        event = Event("message", message)
        if fate in ("pause", "flush", "write fails", "flush fails"):
            placed += [(place, event), (place, Event(fate))]
        elif fate == "late":
            placed.append((place + by + 0.5, event))
        elif fate == "early":
            placed.append((max(furthest, place - by - 0.5), event))
        elif fate == "twice":
            placed += [(place, event), (place + by + 0.5, event)]
        elif fate in _DAMAGES:
            placed.append((place + by + 0.5 * bool(by), Event("message", message, fate)))
        elif fate != "lost":
            placed.append((place, event))
    return [event for _, event in sorted(placed, key=lambda item: item[0])]
