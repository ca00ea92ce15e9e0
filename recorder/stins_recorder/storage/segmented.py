"""A series in several data files, so that each that is open has a bound: one is open at a time.

A file that the series has passed is closed, and forced to the disk, before the next one is begun. A frame that comes
late, or is taken again, opens the file of its row once more.
"""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from stins import Spans
from stins.messages import Payload

from ..layout import FrameWriterLayout
from ..segments import Segments
from .runs import Run
from .segment_file import SegmentFile, belongs, remove_segments
from .superblock import is_closed

__all__ = ["SegmentedStore"]


class SegmentedStore:
    """Frames by rows of the series. `series` is its own file, beside which the data files stand.

    `names` are those of each dataset's parts; `expected` of its rows are expected, if that is known, else 0; `rows`
    are there, and `runs` is what is known of their places in the file that was open last.
    """

    def __init__(
        self,
        series: Path,
        segments: Segments,
        layout: FrameWriterLayout,
        names: Sequence[Sequence[str]],
        expected: int,
        *,
        rows: int = 0,
        runs: Sequence[Run] = (),
    ) -> None:
        self._series = series
        self._segments = segments
        self._layout = layout
        self._names = names
        self._expected = expected
        self._rows = rows
        self._known_runs = runs
        self._file: SegmentFile | None = None
        self._index = self._first = self._stop = -1
        self._shown = segments.shown(expected)
        if rows:
            self._close_passed()
        elif layout.fixed:
            self._look_for_room()

    @property
    def extent(self) -> int:
        """How many rows have a place, written or not."""
        if self._rows <= self._shown:
            return self._shown
        return self._segments.first(self._segments.index(self._rows - 1) + 1)

    @property
    def runs(self) -> tuple[Run, ...]:
        """The rows whose place in the file that is open is known."""
        runs = self._known_runs if self._file is None else [_moved(run, self._first) for run in self._file.runs]
        return tuple(runs)

    @property
    def descriptors(self) -> list[int]:
        """What is not on the disk yet is in these files."""
        return [] if self._file is None else [self._file.descriptor]

    def write(self, row: int, contents: Sequence[Payload]) -> None:
        """Stores the parts of a frame; a row may be written again."""
        self._file_of(row).write(row - self._first, contents)
        self._rows = max(self._rows, row + 1)

    def blank(self, row: int) -> None:
        """Lets a row read as missing; one that no file has does so already."""
        index = self._segments.index(row)
        if index == self._index or self._segments.path(self._series, index).exists():
            self._file_of(row).blank(row - self._first)

    def flush(self) -> None:
        """Everything written is with the operating system."""
        if self._file is not None:
            self._file.flush()

    def close(self, rows: int, hidden: Spans) -> None:
        """Closes the data files with exactly so many rows in all.

        Raises:
            FileNotFoundError: one of them is gone.
            OSError: one of them is not ours, or does not let itself be repaired.
        """
        last = self._segments.index(rows - 1) if rows else -1
        if self._index != last:
            self._leave(last)
            path = self._segments.path(self._series, last)
            if last >= 0 and path.exists():
                if not belongs(path, self._segments.mark):
                    # Its frames count: a series that is closed without it would say that all is well.
                    raise OSError(f"{path} cannot be closed, or is another series' file")
                self._open(last)
        if self._file is not None:
            ours = Spans((max(0, first - self._first), end - self._first) for first, end in hidden)
            self._file.close(self._segments.rows(last, rows), ours)
            self._file = None
        remove_segments(self._series, self._segments, since=last + 1)
        self._miss(rows, hidden)

    def abandon(self) -> None:
        """Stops writing. Doing it twice, or after `close`, does no harm."""
        if self._file is not None:
            self._file.abandon()
            self._file = None

    # -- from file to file ----------------------------------------------------------------------

    def _file_of(self, row: int) -> SegmentFile:
        if not self._first <= row < self._stop or self._file is None:
            index = self._segments.index(row)
            self._leave(index)
            self._open(index)
        assert self._file is not None  # noqa: S101  # it was opened
        return self._file

    def _leave(self, index: int) -> None:
        """Closes the open file, to go to another: one that is passed is as long as it can be."""
        file = self._file
        if file is not None:
            # What does not get through is still in this file for the next flush, which tells whose frames those are.
            file.flush()
            self._file = None
            whole = self._segments.frames_per_file
            rows = whole if index > self._index else self._segments.rows(self._index, self._rows)
            try:
                file.close(rows)
            finally:
                file.abandon()
        self._index = self._first = self._stop = -1

    def _open(self, index: int) -> None:
        segments, layout = self._segments, self._layout
        path, first, most = segments.path(self._series, index), segments.first(index), segments.frames_per_file
        expected, rows = segments.rows(index, self._expected), segments.rows(index, self._rows)
        if not rows and belongs(path, segments.mark):
            # A writer died in it, and nothing of it was acked.
            path.unlink()
        if rows and path.exists():
            runs = [_moved(run, -first) for run in self._known_runs if first <= run.first < first + most]
            self._file = SegmentFile.resume(
                path, segments.mark, layout, most=most, expected=expected, rows=rows, runs=runs
            )
        else:
            self._file = SegmentFile.create(path, segments.mark, layout, self._names, most=most, expected=expected)
        self._known_runs = ()
        self._index, self._first, self._stop = index, first, first + most

    def _close_passed(self) -> None:
        """What the writer before this one left open, and had passed."""
        segments = self._segments
        for index, path in list(segments.standing(self._series)):
            if index < segments.index(self._rows) and not is_closed(path) and belongs(path, segments.mark):
                whole = segments.frames_per_file
                SegmentFile.resume(path, segments.mark, self._layout, most=whole, rows=whole).close(whole)

    def _look_for_room(self) -> None:
        stat = os.statvfs(self._series.parent)
        if self._expected * self._layout.frame_bytes > stat.f_bavail * stat.f_frsize:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _miss(self, rows: int, hidden: Spans) -> None:
        segments = self._segments
        for index in range(segments.index(rows - 1) + 1 if rows else 0):
            first, path = segments.first(index), segments.path(self._series, index)
            count = segments.rows(index, rows)
            if hidden.count_between(first, first + count - 1) < count and not path.exists():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def _moved(run: Run, rows: int) -> Run:
    return msgspec.structs.replace(run, first=run.first + rows, stop=run.stop + rows)
