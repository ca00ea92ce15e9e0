"""What the images of a series have in common: all bytes in front of the pixels, but for a few numbers.

It is found once, as a regular expression, from an image that was read as CBOR. The next ones are matched with it, 5 us
where reading takes 35. What doesn't match is read as CBOR, so nothing depends on it.
"""

import re
from collections.abc import Iterator
from typing import Self

import msgspec
from msgspec import UNSET

from stins.messages import Payload

from ..backend import Frame
from .incoming import Identity, Incoming
from .times import NS_A_SECOND, TIMES, nanoseconds

__all__ = ["Mould"]

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

    `groups` names the numbers of `pattern` in their order, `ticks` are those of a second. `began_ns` is when the series
    began, in ns since the Unix epoch, where the detector says so.
    """

    series: Identity
    first: Frame
    pattern: re.Pattern[bytes]
    groups: tuple[str, ...]
    ticks: dict[str, int]
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
        start, began = (frame.detector_specific or {}).get("start_time"), frame.acquisition_timestamp
        mould = cls(
            series=read.series,
            first=frame,
            pattern=re.compile(_pattern(head, found, length.start()), re.DOTALL),
            groups=tuple(found),
            ticks={key: _number(match[2]) for key, match in found.items() if key in TIMES},
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
        *numbers, length = map(_number, match.groups())
        pixels = memoryview(message)[match.end() :]
        if len(pixels) != length:
            return None
        found = dict(zip(self.groups, numbers, strict=True))
        times = {key: nanoseconds(found[key], ticks) for key, ticks in self.ticks.items()}
        start, first = times.get("start_time"), self.first
        frame = Frame(
            number=found["image_id"],
            parts=first.parts,
            payload=(pixels,),
            timestamp=UNSET if start is None else start / NS_A_SECOND,
            acquisition_timestamp=UNSET if start is None or self.began_ns is None else self.began_ns + start,
            detector_specific={**(first.detector_specific or {}), **times},
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
