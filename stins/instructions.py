"""What the receiver's machine tells its shell to do."""

from typing import TypeAlias

import msgspec

from .messages import Data, Packet, Payload, SeriesStart
from .series import SeriesResult

__all__ = ["DiscardFrame", "EndSeries", "Instruction", "OpenSeries", "Report", "StoreFrame"]


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
    """A frame that is forwarded and counted, not recorded; `rewound` as in StoreFrame, from `row` on."""

    packet: Packet
    header: Data
    row: int
    rewound: bool = False


class EndSeries(msgspec.Struct, frozen=True):
    """The series is over; `gone`: the receiver says so, not the sender, from which nothing has come for too long."""

    result: SeriesResult
    gone: bool = False


class Report(msgspec.Struct, frozen=True):
    """Something a human should read; once per kind and series."""

    kind: str
    text: str


Instruction: TypeAlias = OpenSeries | StoreFrame | DiscardFrame | EndSeries | Report
