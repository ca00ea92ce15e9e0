"""The first series of a capture."""

from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
from msgspec import UNSET

from stins.control import FrameDescription

from ..backend import BackendError, Ending, Frame, Opening
from .capture import read_messages
from .dialects import Dialect, dialect_of

__all__ = ["CapturedSeries"]


#: Memory for frames that were read to be compared with: whoever asks for one asks for the next soon, and each way
#: from the beginning of a capture takes longer than the one before.
_CACHE_BYTES = 64 << 20


class CapturedSeries:
    """What the capture says of its first series; the frames are read each time they are asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cache: dict[int, Frame] = {}
        with closing(self._read()) as messages:
            opening = next(messages)
            first = next(messages)
        if not isinstance(opening, Opening):  # pragma: no cover  # _read yields it first
            raise BackendError(f"{path}: no series")
        self._opening = opening
        self.description = _description(first) if isinstance(first, Frame) else None

    def opening(self, *, whole: bool) -> Opening:
        """How the series began; a part of it has not the number of frames that was expected then."""
        return self._opening if whole else msgspec.structs.replace(self._opening, frames_expected=UNSET)

    def steps(self, first_frame: int = 0) -> Generator[Frame | Ending, None, None]:
        """The frames from `first_frame` on, then the end."""
        for step in self._read():
            if isinstance(step, Ending) or (isinstance(step, Frame) and step.number >= first_frame):
                yield step

    def frame(self, number: int) -> Frame:
        """One frame; raises `BackendError` where the capture has none of that number. May come from any thread."""
        found = self._cache.get(number)
        if found is None:
            self._cache = cache = self._from(number)
            found = cache.get(number)
        if found is None:
            raise BackendError(f"{self._path}: no frame {number}")
        return found

    def _from(self, number: int) -> dict[int, Frame]:
        """The frame and those behind it, as many as the cache holds; the last of each number, as after a retake."""
        frames: dict[int, Frame] = {}
        size = 0
        with closing(self.steps(number)) as steps:
            for step in steps:
                if isinstance(step, Ending) or (frames and size > _CACHE_BYTES):
                    break
                frames[step.number] = step
                size += sum(len(blob) for blob in step.payload)
        return frames

    def _read(self) -> Generator[Opening | Frame | Ending, None, None]:
        with closing(read_messages(self._path)) as messages:
            dialect, opening = self._begin(messages)
            yield opening
            for parts in messages:
                step = dialect.convert(parts)
                if isinstance(step, Opening):
                    break
                yield step
                if isinstance(step, Ending):
                    return
        yield Ending(status="failed", reason=f"the capture ends without {dialect.end_message}")

    def _begin(self, messages: Iterator[list[bytes]]) -> tuple[Dialect, Opening]:
        """What stands in front of the first opening belongs to a series whose beginning was not captured."""
        for parts in messages:
            dialect = dialect_of(parts)
            opening = dialect.convert(parts) if dialect else None
            if dialect and isinstance(opening, Opening):
                return dialect, opening
        raise BackendError(
            f"{self._path}: no message in it opens a series (dheader-1.0, start of stream v2, series-start or header)"
        )


def _description(frame: Frame) -> FrameDescription | None:
    if not frame.parts:
        return None
    first = frame.parts[0]
    shape = frame.layout.shape if frame.layout else first.shape
    times = {"timestamp": frame.timestamp, "acquisition_timestamp": frame.acquisition_timestamp}
    return FrameDescription(
        shape=shape,
        dtype=first.dtype,
        compression=first.compression,
        times=tuple(key for key, time in times.items() if time is not UNSET),
    )
