"""What the supervisor and the process that computes numbers say to each other: one order, one answer. Pure values."""

from collections.abc import Mapping

import msgspec

__all__ = ["Done", "Work", "kept_rows"]


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """The first `rows` rows of a series' file are flushed: compute some of those that have no numbers yet.

    `generation` and `rewound_to` are those of the series' status. `over`: the file is closed. `most` rows at most;
    `skip`: give them NaN without looking, for they could not be read.
    """

    file: str
    rows: int
    generation: int = 0
    rewound_to: int = 0
    over: bool = False
    most: int | None = None
    skip: bool = False


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of the first `rows` rows of that `generation` can be read.

    `values` are those of the last of these, where it has any, and the order was for it. `complete`: the file of numbers
    is closed. `size_bytes` is how many bytes of pixels were looked at. `problem` is why nothing came of it;
    `unreadable`: because of the frames that it was to read. `again`: nothing could yet, the file was being closed.
    """

    file: str
    rows: int = 0
    generation: int = 0
    values: Mapping[str, float] = {}
    complete: bool = False
    size_bytes: int = 0
    problem: str = ""
    unreadable: bool = False
    again: bool = False


def kept_rows(rows: int, generation: int, now: int, rewound_to: int) -> int:
    """How many of the first rows, computed in one generation of a series, still count in a later one.

    The status knows of the last change only.
    """
    if generation == now:
        return rows
    return min(rows, rewound_to) if generation + 1 == now else 0
