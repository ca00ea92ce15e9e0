"""What the frames of a series look like: as announced, then as the first one does; another look is refused."""

from collections.abc import Sequence
from typing import Self

from msgspec import UNSET, UnsetType

from stins import Data, FrameLayout, Part, SeriesStart
from stins.messages import is_series_array

from ..errors import RecorderError
from ..layout import DatasetLayout, FrameWriterLayout, describe, frame_layout

__all__ = ["Appearance"]


class Appearance:
    """`announced` is what the series-start says; `layout` that of frames that have come, None while they have no image.

    `parts` are those of the last frame that was looked at.

    Raises:
        RecorderError: the announced frames cannot be stored as they are.
    """

    def __init__(self, start: SeriesStart) -> None:
        parts = [part for part in start.data or () if not is_series_array(part.name)]
        self.announced = frame_layout(parts, start.frame)
        self.layout: FrameWriterLayout | None = None
        self.parts: tuple[Part, ...] | UnsetType = UNSET
        self.frame: FrameLayout | UnsetType = UNSET

    @classmethod
    def resume(cls, start: SeriesStart, parts: Sequence[Part] | None, frame: FrameLayout | None) -> Self:
        """That of a series whose first frame had these parts; None: it had none, or has not come."""
        found = cls(start)
        if parts:
            found.parts, found.frame = tuple(parts), frame or UNSET
            found.layout = frame_layout(found.parts, found.frame)
        return found

    @property
    def default(self) -> DatasetLayout | None:
        """The first dataset of the frames, once it is known what they look like."""
        layout = self.layout or self.announced
        return layout.datasets[0] if layout.datasets else None

    def expected_of(self, first: Data) -> FrameWriterLayout:
        """The layout of the first frame, which must be as announced; nothing is settled by that.

        The announcement doesn't say how frames will be compressed.
        """
        layout = frame_layout(first.data or (), first.frame)
        if layout.datasets and self.announced.datasets and _shapes(layout) != _shapes(self.announced):
            raise RecorderError(
                f"frame {first.frame_number}: got {_shapes(layout)}, expected {_shapes(self.announced)} as announced"
            )
        return layout

    def settle(self, first: Data, layout: FrameWriterLayout) -> None:
        """From now on frames look like this one."""
        self.parts = first.data
        if first.data:
            self.layout, self.frame = layout, first.frame

    def check(self, header: Data) -> None:
        """A frame that doesn't look like the first one is refused by name, before anything of it is written."""
        got = frame_layout(header.data or (), header.frame)
        if self.layout is None and got.datasets:
            raise RecorderError(f"frame {header.frame_number}: got an image, the frames before it had none")
        if self.layout is not None and got != self.layout:
            raise RecorderError(
                f"frame {header.frame_number}: got {describe(got)}, expected {describe(self.layout)} as before"
            )
        self.parts = header.data


def _shapes(layout: FrameWriterLayout) -> str:
    return ", ".join(f"{d.name} {list(d.shape)} {d.dtype}" for d in layout.datasets)
