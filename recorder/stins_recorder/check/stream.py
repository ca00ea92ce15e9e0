"""Checks a stream: messages in, findings out. No socket, no clock."""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import UNSET

from stins import (
    Data,
    Decoder,
    EndSeries,
    MessageError,
    OpenSeries,
    Packet,
    Report,
    SeriesReceiver,
    SeriesResult,
    SeriesStart,
    Spans,
    StoreFrame,
)
from stins.findings import Findings
from stins.messages import Payload, frame_count
from stins.receiver import DiscardFrame, Instruction
from stins.share import ALL
from stins.words import how_many, spanned

from ..errors import RecorderError
from ..layout import FrameWriterLayout, frame_layout
from .message_ids import MessageIds
from .stream_rules import (
    ABORTED,
    CHUNK_HEADER,
    DROPPED,
    INCOMPLETE,
    JOINED,
    LAYOUT,
    MISSING,
    NO_SERIES,
    OPEN,
    REFUSED,
    REPEATED,
    SILENT,
    UNENDED,
    UNKNOWN_KEY,
)

__all__ = ["StreamCheck"]

_WORDS: Final = re.compile(r"^(?P<key>[^:]*): (got )?(?P<got>.*), expected (?P<expected>.*)$", re.DOTALL)


class StreamCheck:
    """Takes the messages of one stream until its first series has ended (`ended`)."""

    def __init__(self) -> None:
        self.findings = Findings()
        self.messages = self.frames = self.stored_bytes = 0
        self.ended = False
        self._strict = Decoder(strict=True)
        self._tolerant = Decoder()
        self._machine = SeriesReceiver()
        self._ids = MessageIds(self.findings)
        self._before_start = 0
        self._started = False
        self._unknown: set[str] = set()
        self._dropped = Spans()
        self._announced: FrameWriterLayout | None = None
        self._first: FrameWriterLayout | None = None
        self._odd_layouts: set[str] = set()

    def take(self, parts: Sequence[Payload], now: float) -> None:
        """Checks one message; `now` is monotonic time in seconds."""
        self.messages += 1
        packet = self._decode(parts, now)
        if packet is None:
            return
        if not self._started and not isinstance(packet.header, SeriesStart):
            self._before_start += 1
            return
        self._started = True
        self._ids.came(packet.header.message_id, packet.header)
        self._follow(self._machine.receive(packet, now))

    def tick(self, now: float) -> None:
        """Time passes: a message that is missing is given up."""
        self._follow(self._machine.tick(now))

    def close(self, seconds: float) -> None:
        """The checker has listened for so long and stops."""
        if self._before_start:
            got = f"{how_many(self._before_start, 'message')} of a series that had started before"
            self.findings.fault(JOINED, "the first messages", got, "a series-start first")
        if not self.messages:
            self.findings.fault(SILENT, "the stream", f"nothing for {seconds:g} s", "a message; is something sending?")
        elif not self._started:
            self.findings.fault(NO_SERIES, "the stream", f"no series-start in {seconds:g} s", "one; listen for longer")
        if not self.ended and (account := self._machine.account()) is not None:
            got = f"no series-end in {seconds:g} s"
            self.findings.fault(OPEN, "the series", got, "its end; only what came so far is checked")
            self._missing(account)
        self._ids.close()

    @property
    def counts(self) -> dict[str, int]:
        """What was looked at."""
        return {"messages": self.messages, "frames": self.frames, "bytes": self.stored_bytes}

    # -- messages -------------------------------------------------------------------------------

    def _decode(self, parts: Sequence[Payload], now: float) -> Packet | None:
        self.stored_bytes += sum(map(len, parts))
        try:
            return self._strict.decode(parts)
        except MessageError:
            pass
        try:
            packet = self._tolerant.decode(parts)
        except MessageError as error:
            self._refuse(error, now)
            return None
        self._moved(packet)
        return packet

    def _refuse(self, error: MessageError, now: float) -> None:
        text, number = str(error), error.message_id
        # The codec tells one refusal from another by its words only; a test holds the two together.
        rule = CHUNK_HEADER if " header says " in text else REFUSED
        words = _WORDS.match(text)
        where = f"message {'?' if number is None else number}" + (f", {words['key']}" if words else "")
        got, expected = (words["got"], words["expected"]) if words else (text, "a STINS 1 message")
        self.findings.fault(rule, where, got, expected)
        if self._started:
            if number is not None:
                self._ids.came(number)
            self._follow(self._machine.refuse(number, text, now))

    def _moved(self, packet: Packet) -> None:
        kind = packet.header.__struct_config__.tag
        for key in packet.moved:
            # Parts are numbered: the same key in each part of each message is one mistake of the sender.
            name = f"{kind}.{re.sub(r'[.][0-9]+[.]', '[].', key)}"
            if name not in self._unknown:
                self._unknown.add(name)
                where = f"message {packet.header.message_id} (first)"
                self.findings.fault(UNKNOWN_KEY, where, name, "custom keys under detector_specific")

    # -- what the machine says ------------------------------------------------------------------

    def _follow(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            if isinstance(instruction, OpenSeries):
                self._open(instruction.start)
            elif isinstance(instruction, StoreFrame):
                self._frame(instruction.header, instruction.count)
            elif isinstance(instruction, DiscardFrame):
                self._frame(instruction.header, frame_count(instruction.header))
            elif isinstance(instruction, Report) and instruction.kind == "repeated":
                self.findings.fault(REPEATED, "the series (first)", instruction.text, "each frame_number once")
            elif isinstance(instruction, EndSeries) and not self.ended:
                self.ended = True
                self._end(instruction.result)

    def _open(self, start: SeriesStart) -> None:
        self._dropped, self._first = Spans(), None
        self._announced = self._layout(start)

    def _frame(self, header: Data, count: int) -> None:
        self.frames += count
        self._drops(f"message {header.message_id}", header.frames_dropped or ())
        layout = self._layout(header)
        if layout is None:
            return
        if self._first is None:
            self._first = layout
            # A series-start does not say how frames will be compressed.
            if self._announced is not None and _shapes(layout) != _shapes(self._announced):
                self._odd(f"message {header.message_id}", _shapes(layout), f"{_shapes(self._announced)} as announced")
        elif layout != self._first:
            self._odd(f"message {header.message_id}", _words(layout), f"{_words(self._first)} as the first frame")

    def _layout(self, header: SeriesStart | Data) -> FrameWriterLayout | None:
        try:
            layout = frame_layout(header.data or (), header.frame)
        except RecorderError as error:
            self._odd(f"message {header.message_id}", str(error), "parts that can be recorded")
            return None
        return layout if layout.datasets else None

    def _odd(self, where: str, got: str, expected: str) -> None:
        if got not in self._odd_layouts:
            self._odd_layouts.add(got)
            self.findings.fault(LAYOUT, f"{where} (first)", got, expected)

    def _drops(self, where: str, dropped: Sequence[tuple[int, int]]) -> None:
        for first, last in dropped:
            self._dropped.add(first, last)
            self.findings.fault(DROPPED, where, f"{spanned('frame', first, last)} dropped by the sender", "none")

    def _end(self, result: SeriesResult) -> None:
        if result.end is None:
            self.findings.fault(UNENDED, "the series", "; ".join(result.reasons), "series-end")
        else:
            self._drops("series-end", result.end.frames_dropped or ())
            if result.end.status not in {UNSET, "finished"}:
                got = f"{result.end.status}: {result.end.reason or 'no reason'}"
                self.findings.fault(ABORTED, "series-end", got, "finished")
        self._missing(result)
        if result.reasons and result.end is not None:
            self.findings.fault(INCOMPLETE, "the series", "; ".join(result.reasons), "every frame")

    def _missing(self, result: SeriesResult) -> None:
        share = result.share or ALL
        missing = Spans(share.inside(result.missing))
        for first, last in share.inside(self._dropped):
            missing.remove(first, last)
        for first, last in share.outside(missing):
            frames = spanned("frame", first, last)
            self.findings.fault(MISSING, "the series", f"nothing of {frames}", "every frame, or its name as dropped")


def _shapes(layout: FrameWriterLayout) -> str:
    return ", ".join(f"{d.name} {list(d.shape)} {d.dtype}" for d in layout.datasets)


def _words(layout: FrameWriterLayout) -> str:
    return ", ".join(f"{d.name} {list(d.shape)} {d.dtype} {d.compression}" for d in layout.datasets)
