"""One series recorded twice: by one recorder, and dealt to several whose files are joined."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from recorder_kit import Desk
from stins_recorder.join.master import join_parts

from stins import Share
from stins.control import JoinRequest, SeriesStatus
from stins.share import part_name

NAME = "scan.h5"
#: What tells a joined file from one that was written in one piece.
OWN = {"/entry/series/parts"}
_TIMES = {"/entry/start_time", "/entry/end_time", "/entry/end_time_estimated"}
_OF_THE_FILE = {"file_name", "file_time"}


class Dealt:
    """Frames go to the desk of their share and to the one that has them all, in folders of their own.

    The desks of the shares have so many `frames_per_file`.
    """

    def __init__(
        self, folder: Path, count: int, expected: int | None = None, *, frames_per_file: int | None = None
    ) -> None:
        self.root, self.expected = folder / "shared", expected
        self.shares = [Share(index=index, count=count) for index in range(count)]
        self.whole = Desk(folder / "whole")
        self.desks = [Desk(self.root, frames_per_file=frames_per_file) for _ in self.shares]
        for desk in (self.whole, *self.desks):
            desk.root.mkdir(parents=True, exist_ok=True)

    def start(self, payload: Sequence[bytes] = (), **values: Any) -> None:
        known = {} if self.expected is None else {"frames_expected": self.expected}
        self.whole.start(NAME, payload, **known, **values)
        for desk, share in zip(self.desks, self.shares, strict=True):
            own = {} if self.expected is None else {"frames_expected": share.before(self.expected)}
            desk.start(part_name(NAME, share.index), payload, share=share, **own, **values)

    def of(self, number: int) -> list[Desk]:
        """The desks to which that frame goes."""
        return [self.whole, self.desks[number % len(self.desks)]]

    def frame(self, number: int, *payload: bytes, **values: Any) -> None:
        for desk in self.of(number):
            desk.frame(number, *payload, **values)

    def frames(self, *numbers: int) -> None:
        for number in numbers:
            self.frame(number)

    def lose(self, number: int) -> None:
        for desk in self.of(number):
            desk.lose(number)

    def drop(self, first: int, last: int) -> None:
        for desk in (self.whole, *self.desks):
            desk.drop(first, last)

    def end(self, total: int, **values: Any) -> None:
        for desk in (self.whole, *self.desks):
            desk.end(frames_total=total, **values)
            desk.give_up_gaps()

    def series(self, total: int) -> None:
        self.start()
        self.frames(*range(total))
        self.end(total)

    def part(self, index: int) -> Path:
        return self.root / part_name(NAME, index)

    def join(self, *absent: int) -> SeriesStatus:
        return join_parts(
            [self.root],
            JoinRequest(
                series_id="s1",
                filename=NAME,
                count=len(self.desks),
                frames_expected=self.expected,
                absent=absent,
            ),
        )


def differences(joined: Path, whole: Path) -> list[str]:
    """Where the two files do not read the same."""
    with h5py.File(joined) as one, h5py.File(whole) as other:
        paths = {*_paths(one), *_paths(other)}
        return sorted(path for path in paths - OWN if not _same(one, other, path))


def _paths(file: h5py.File) -> list[str]:
    """All of them, links included."""
    found = ["/"]

    def walk(group: h5py.Group) -> None:
        for name, item in group.items():
            found.append(f"{group.name.rstrip('/')}/{name}")
            if isinstance(item, h5py.Group):
                walk(item)

    walk(file["/"])
    return found


def _same(one: h5py.File, other: h5py.File, path: str) -> bool:
    if path not in one or path not in other:
        return False
    a, b = one[path], other[path]
    if not _same_attributes(a, b) or isinstance(a, h5py.Group) != isinstance(b, h5py.Group):
        return False
    if isinstance(a, h5py.Group) or path in _TIMES:
        return True
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    equal_nan = a.dtype.kind == "f"
    return bool(np.array_equal(a[()], b[()], equal_nan=equal_nan))


def _same_attributes(one: Any, other: Any) -> bool:
    a, b = dict(one.attrs), dict(other.attrs)
    keys = a.keys() - _OF_THE_FILE
    return keys == b.keys() - _OF_THE_FILE and all(np.array_equal(a[key], b[key]) for key in keys)
