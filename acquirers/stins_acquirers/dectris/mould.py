"""What the images of a series have in common: all bytes in front of the pixels, but for a few numbers.

It is found once, as a regular expression, from an image that was read as CBOR. The next ones are matched with it, 3 us
where reading takes 35. What doesn't match is read as CBOR, so nothing depends on it.
"""

import re
from collections.abc import Iterator
from typing import Any, Self

import msgspec
from msgspec import UNSET, UnsetType

from stins.messages import Payload

from ..backend import Frame
from .incoming import Identity, Incoming
from .times import NS_A_SECOND, TIMES

__all__ = ["Mould"]

_from_bytes = int.from_bytes
#: A natural number as CBOR has it: in one byte, or behind one that says how long it is; and the length of bytes so.
_NUMBER = rb"([\x00-\x17]|\x18.|\x19..|\x1a.{4}|\x1b.{8})"
_LENGTH = rb"([\x40-\x57]|\x58.|\x59..|\x5a.{4}|\x5b.{8})"
#: How these keys are written, and what stands behind them: the number itself, or a pair whose second one stays.
_VALUES = {
    "image_id": rb"\x68image_id" + _NUMBER,
    **{key: rb"%c%s\x82" % (0x60 + len(key), key.encode()) + _NUMBER + _NUMBER for key in TIMES},
}


class Mould(msgspec.Struct, frozen=True):
    """Makes frames of images that are like the first, in its series; of one channel, whose pixels stand last.

    `number_at`: which of the numbers that `pattern` finds is the image's; `times`: which are times, with the ticks of a
    second. `began_ns` is when the series began, in ns since the Unix epoch, where the detector says so.
    """

    series: Identity
    first: Frame
    pattern: re.Pattern[bytes]
    number_at: int
    times: tuple[tuple[str, int, int], ...]
    specific: dict[str, Any]
    has_start: bool
    began_ns: int | None

    @classmethod
    def of(cls, message: Payload, read: Incoming) -> Self | None:
        """The mould of an image that was read; None where the image has none."""
        frame = read.value
        if not isinstance(frame, Frame) or len(frame.payload) != 1:
            return None
        head = bytes(message[: len(message) - len(frame.payload[0])])
        found = dict(sorted(_find(head), key=lambda item: item[1].start()))
        length = re.search(_LENGTH + rb"\Z", head, re.DOTALL)
        if "image_id" not in found or length is None:
            return None
        specific, began = frame.detector_specific or {}, frame.acquisition_timestamp
        start, order = specific.get("start_time"), list(found)
        mould = cls(
            series=read.series,
            first=frame,
            pattern=re.compile(_pattern(head, found, length.start()), re.DOTALL),
            number_at=order.index("image_id"),
            times=tuple((key, order.index(key), _number(found[key][2])) for key in TIMES if key in found),
            specific=specific,
            has_start="start_time" in found,
            began_ns=began - start if isinstance(began, int) and isinstance(start, int) else None,
        )
        made = mould.read(message)
        # The proof: what was found by its looks gives what was read.
        return mould if made is not None and _essence(made) == _essence(read) else None

    def read(self, message: Payload) -> Incoming | None:
        """The image; None where it is not like the first."""
        match = self.pattern.match(message)
        if match is None:
            return None
        numbers = [_from_bytes(raw[1:], "big") if len(raw) > 1 else raw[0] & 31 for raw in match.groups()]
        pixels = memoryview(message)[match.end() :]
        if len(pixels) != numbers[-1]:
            return None
        specific = self.specific.copy()
        for key, at, ticks in self.times:
            # As `nanoseconds` does, without the call.
            specific[key] = (numbers[at] * NS_A_SECOND + ticks // 2) // ticks
        timestamp: float | UnsetType = UNSET
        acquired: int | UnsetType = UNSET
        if self.has_start:
            start = specific["start_time"]
            timestamp = start / NS_A_SECOND
            if self.began_ns is not None:
                acquired = self.began_ns + start
        frame = Frame(
            number=numbers[self.number_at],
            parts=self.first.parts,
            payload=(pixels,),
            timestamp=timestamp,
            acquisition_timestamp=acquired,
            detector_specific=specific,
        )
        return Incoming(self.series, frame)


def _essence(incoming: Incoming) -> object:
    """All but the bulk of the pixels, which takes 20 ms to compare."""
    frame = incoming.value
    assert isinstance(frame, Frame)  # noqa: S101  # the caller has looked
    (pixels,) = frame.payload
    return incoming.series, len(pixels), msgspec.structs.replace(frame, payload=(bytes(pixels[:64]),))


def _find(head: bytes) -> Iterator[tuple[str, re.Match[bytes]]]:
    """Where the numbers stand; a key that could be in two places is in none."""
    for key, pattern in _VALUES.items():
        matches = list(re.finditer(pattern, head, re.DOTALL))
        if len(matches) == 1:
            yield key, matches[0]


def _pattern(head: bytes, found: dict[str, re.Match[bytes]], end: int) -> bytes:
    pattern, at = b"", 0
    for match in found.values():
        pattern += re.escape(head[at : match.start(1)]) + _NUMBER
        at = match.end(1)
    return pattern + re.escape(head[at:end]) + _LENGTH


def _number(raw: bytes) -> int:
    return int.from_bytes(raw[1:], "big") if len(raw) > 1 else raw[0] & 31
