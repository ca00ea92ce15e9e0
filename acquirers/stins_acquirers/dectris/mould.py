"""What the images of a series have in common: all bytes in front of the pixels, but for a few numbers.

Where those stand is found once, from an image that was read as CBOR. The next ones are unpacked so, 2 us where reading
takes 35. What doesn't match is read as CBOR, so nothing depends on it.
"""

import re
import struct
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
#: A number behind its first byte, by its size there, as `struct` writes it.
_FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}
#: The size of a length, by its first byte.
_SIZES = {0x58: 1, 0x59: 2, 0x5A: 4, 0x5B: 8}


class Mould(msgspec.Struct, frozen=True):
    """Makes frames of images that are like the first, in its series; of one channel, whose pixels stand last.

    `layout` unpacks what stays, `constants`, and behind each a number that is as long as in the first; the last is the
    first byte of the pixels' length. `number_at`: where the image's number is found; `times`: where times are, with
    the ticks of a second. `began_ns` is when the series began, in ns since the Unix epoch, where the detector says so.
    """

    series: Identity
    first: Frame
    layout: struct.Struct
    constants: tuple[bytes, ...]
    number_at: int
    times: tuple[tuple[str, int, int], ...]
    specific: dict[str, Any]
    began_ns: int | None

    @classmethod
    def of(cls, message: Payload, read: Incoming) -> Self | None:
        """The mould of an image that was read; None where the image has none."""
        frame = read.value
        if not isinstance(frame, Frame) or len(frame.payload) != 1:
            return None
        head = bytes(message[: len(message) - len(frame.payload[0])])
        # A number of one byte stays, as far as this mould goes.
        found = {key: match for key, match in _find(head) if len(match[1]) > 1}
        length = re.search(_LENGTH + rb"\Z", head, re.DOTALL)
        if "image_id" not in found or length is None:
            return None
        order = sorted(found, key=lambda key: found[key].start())
        layout, constants = _layout(head, [found[key].span(1) for key in order], length.start())
        # A constant stands before each.
        place = {key: 2 * index + 1 for index, key in enumerate(order)}
        specific, began = frame.detector_specific or {}, frame.acquisition_timestamp
        mould = cls(
            series=read.series,
            first=frame,
            layout=layout,
            constants=constants,
            number_at=place["image_id"],
            times=tuple((key, place[key], _number(found[key][2])) for key in TIMES if key in found),
            specific=specific,
            began_ns=began - specific["start_time"] if isinstance(began, int) else None,
        )
        made = mould.read(message)
        # The proof: what was found by its looks gives what was read.
        return mould if made is not None and _essence(made) == _essence(read) else None

    def read(self, message: Payload) -> Incoming | None:
        """The image; None where it is not like the first."""
        try:
            found = self.layout.unpack_from(message)
        except struct.error:  # it is shorter
            return None
        if found[::2] != self.constants:
            return None
        at = self.layout.size
        begin = at + _SIZES.get(found[-1], 0)
        if begin == at or _from_bytes(message[at:begin], "big") != len(message) - begin:
            return None
        specific = self.specific.copy()
        for key, place, ticks in self.times:
            # As `nanoseconds` does, without the call.
            specific[key] = (found[place] * NS_A_SECOND + ticks // 2) // ticks
        timestamp: float | UnsetType = UNSET
        acquired: int | UnsetType = UNSET
        if (start := specific.get("start_time")) is not None:
            timestamp = start / NS_A_SECOND
            if self.began_ns is not None:
                acquired = self.began_ns + start
        frame = Frame(
            number=found[self.number_at],
            parts=self.first.parts,
            payload=(memoryview(message)[begin:],),
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


def _layout(head: bytes, numbers: list[tuple[int, int]], end: int) -> tuple[struct.Struct, tuple[bytes, ...]]:
    """How bytes like these are unpacked, whose numbers are from here to there, and those that are none up to `end`."""
    layout, constants, at = ">", [], 0
    for first, behind in numbers:
        # The first byte of a number says how long it is.
        constants.append(head[at : first + 1])
        layout += f"{len(constants[-1])}s{_FORMATS[behind - first - 1]}"
        at = behind
    constants.append(head[at:end])
    return struct.Struct(f"{layout}{end - at}sB"), tuple(constants)


def _number(raw: bytes) -> int:
    return int.from_bytes(raw[1:], "big") if len(raw) > 1 else raw[0] & 31
