"""Which row of a joined file each row of its parts is. Pure values."""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from .part import Numbers

__all__ = ["Run", "place", "ranges", "runs"]


class Run(msgspec.Struct, frozen=True):
    """Rows `first` to `first + count - 1` of a part, in rows `place`, `place + step`, … of the joined file."""

    first: int
    count: int
    place: int
    step: int


def place(parts: Sequence[Numbers], missing: Numbers) -> Numbers:
    """The frame number of each row: those of the parts, and before the last of them those that are missing."""
    present = np.unique(np.concatenate([np.empty(0, np.int64), *parts]))
    if not len(present):
        return present
    return np.union1d(present, missing[missing < present[-1]])


def runs(rows: Numbers, places: Numbers) -> Iterator[Run]:
    """Where the rows of a part go, in as few regular runs as there are: one, where no frame was discarded."""
    steps = np.where(np.diff(rows) == 1, np.diff(places), -1)
    changes = np.flatnonzero(np.diff(steps)) + 1
    first, last = 0, len(places) - 1
    while first <= last:
        step = int(steps[first]) if first < last else -1
        later = changes[np.searchsorted(changes, first, "right") :]
        end = first if step < 0 else int(later[0]) if len(later) else last
        yield Run(int(rows[first]), end - first + 1, int(places[first]), max(step, 1))
        first = end + 1


def ranges(numbers: Numbers) -> Numbers:
    """Rising numbers as [first, last] ranges."""
    if not len(numbers):
        return np.empty((0, 2), np.int64)
    breaks = np.flatnonzero(np.diff(numbers) != 1)
    firsts, lasts = np.r_[0, breaks + 1], np.r_[breaks, len(numbers) - 1]
    return np.stack([numbers[firsts], numbers[lasts]], axis=1)
