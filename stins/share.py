"""One of several streams that share a series: which frames it carries, and how they are counted in it. No I/O."""

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Annotated, Final

import msgspec

__all__ = ["ALL", "Share", "frames_in", "part_name", "whole_name"]

_MARK = "_part"


class Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The frames with frame_number % count == index.

    Inside a share frames are counted without those of the others: frame `index + n * count` is its frame n.
    """

    index: Annotated[int, msgspec.Meta(ge=0)]
    count: Annotated[int, msgspec.Meta(ge=1)]

    def __post_init__(self) -> None:
        if self.index >= self.count:
            raise ValueError(f"got index {self.index}, expected less than count {self.count}")

    def holds(self, frame: int) -> bool:
        """Whether that frame is one of these."""
        return frame % self.count == self.index

    def before(self, frame: int) -> int:
        """How many of its frames come before that frame, of whichever share: where it begins counting from there."""
        return max(0, (frame - self.index + self.count - 1) // self.count)

    def frame(self, number: int) -> int:
        """The frame number of its frame `number`."""
        return self.index + number * self.count

    def inside(self, ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        """Ranges of frame numbers as ranges of its own frames; where it has none there is no range."""
        own = ((self.before(first), self.before(last + 1) - 1) for first, last in ranges)
        return tuple((first, last) for first, last in own if first <= last)

    def outside(self, ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        """Ranges of its own frames as ranges of frame numbers."""
        return tuple((self.frame(first), self.frame(last)) for first, last in ranges)


#: Every frame: one stream shares its series with nobody.
ALL: Final = Share(index=0, count=1)


def frames_in(ranges: Iterable[tuple[int, int]], share: Share | None) -> int:
    """How many frames are in ranges of frame numbers, of which only those of the share are meant."""
    step = share.count if share else 1
    return sum((last - first) // step + 1 for first, last in ranges)


def part_name(filename: str, index: int) -> str:
    """The file of share `index` of a series that goes to `filename`: scan.h5 is written as scan_part0.h5, …"""
    path = PurePosixPath(filename)
    return str(path.with_name(f"{path.stem}{_MARK}{index}{path.suffix}"))


def whole_name(part: str) -> str:
    """The file that the part belongs to: the way back from `part_name`; any other name as it is."""
    path = PurePosixPath(part)
    stem, mark, index = path.stem.rpartition(_MARK)
    return str(path.with_name(stem + path.suffix)) if mark and stem and index.isdigit() else part
