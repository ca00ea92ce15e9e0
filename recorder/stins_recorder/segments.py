"""A series in several data files beside it: which rows stand in which, and what each is called. Pure values."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from .errors import PathError

__all__ = ["FRAMES", "MARK", "Segments", "named_in", "refuse_standing", "series_of"]

#: Where the frames stand in a data file.
FRAMES = "/entry/data"
#: The attribute of a data file that says of which series it is.
MARK = "series_mark"
#: So many files are shown while the series runs, where its length is not known, and where it is: each costs 0.1 ms
#: before the first frame. In the end all of them are.
_UNKNOWN_FILES, _MOST_FILES = 256, 1024


class Segments(msgspec.Struct, frozen=True):
    """Rows of a series in files of `frames_per_file` each: scan_data_000001.h5, … beside scan.h5.

    `mark` stands in all of them, and in the series' own file: a data file with another one is not touched.
    """

    frames_per_file: int
    mark: str

    def index(self, row: int) -> int:
        """Which file a row stands in, from 0."""
        return row // self.frames_per_file

    def first(self, index: int) -> int:
        """The first row that stands in a file."""
        return index * self.frames_per_file

    def rows(self, index: int, total: int) -> int:
        """How many of the first `total` rows stand in a file."""
        return max(0, min(self.frames_per_file, total - self.first(index)))

    def path(self, series: Path, index: int) -> Path:
        """The file, beside that of the series."""
        return series.with_name(f"{series.stem}_data_{index + 1:06d}{series.suffix}")

    def shown(self, expected: int) -> int:
        """How many rows the series' file shows while it runs; `expected` is 0 where nobody knows."""
        if not expected:
            return _UNKNOWN_FILES * self.frames_per_file
        return min(expected, _MOST_FILES * self.frames_per_file)

    def standing(self, series: Path) -> Iterator[tuple[int, Path]]:
        """(index, path) of the files that are there, rising; they may be those of another series."""
        return _standing(series)


def series_of(path: Path) -> Path | None:
    """The file of the series that a data file is one of; None for a name that is none of a data file."""
    match = re.fullmatch(r"(.+)_data_[0-9]{6,}", path.stem)
    return None if match is None else path.with_name(match[1] + path.suffix)


def named_in(error: BaseException, series: Path) -> Path:
    """The data file that an error is about; the series' own file where it is about none."""
    # Of a link it is the second name that stands in the way.
    named = (Path(str(getattr(error, key, ""))) for key in ("filename", "filename2"))
    return next((path for path in named if series_of(path) == series), series)


def refuse_standing(series: Path) -> None:
    """Raises `PathError` where a data file stands in the way of a new series."""
    for _, path in _standing(series):
        raise PathError(f"filename {series.name!r}: {path} stands already, and nothing is ever overwritten")


def _standing(series: Path) -> Iterator[tuple[int, Path]]:
    name = re.compile(rf"{re.escape(series.stem)}_data_([0-9]{{6,}}){re.escape(series.suffix)}")
    found = [(name.fullmatch(path.name), path) for path in series.parent.glob(f"{series.stem}_data_*")]
    yield from sorted((int(match[1]) - 1, path) for match, path in found if match)
