"""The pixels of a series whose frames stand in data files beside it.

Its own file shows them too, but there a data file that cannot be opened (moved, no rights, too many files open) reads
as frames of fill values, without an error. So they are read where they stand.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from ..errors import RecorderError
from ..segments import FRAMES, MARK, Segments
from .reading import NotNowError, flags_of, opened
from .reduce import Pixels, Rows

__all__ = ["read_data_file", "require_sources"]


def read_data_file(images: Mapping[str, Pixels], first: int, empty: Rows, series: Path, segments: Segments) -> None:
    """Reads the rows from `first` on, which stand in one data file; what comes of those that are `empty` is nothing.

    `images` is where the rows of each of its datasets go, by that one's name.

    Raises:
        NotNowError: it was being closed or opened meanwhile.
        RecorderError: it is of another series, or lacks rows.
        OSError: it cannot be opened or read.
    """
    held = np.flatnonzero(~empty)
    count = int(held[-1]) + 1 if len(held) else 0
    for pixels in images.values():
        pixels[count:] = 0
    if not count:
        return  # then there may be no such file
    index = segments.index(first)
    start = first - segments.first(index)
    with _data_file(segments.path(series, index), segments) as file:
        for name, pixels in images.items():
            data = file[f"{FRAMES}/{name}"]
            if len(data) < start + count:
                raise RecorderError(f"{file.filename}: got {len(data)} rows, expected {start + count} at least")
            data.read_direct(pixels[:count], np.s_[start : start + count])


def require_sources(data: h5py.Dataset, first: int, last: int, series: Path, segments: Segments) -> None:
    """Opens each data file that shows some of those rows, which is how to know that they were read.

    Raises:
        As `read_data_file` does.
    """
    for source in data.virtual_sources():
        (begin, *_), (end, *_) = source.vspace.get_select_bounds()
        if begin < last and end >= first:
            with _data_file(series.with_name(source.file_name), segments):
                pass


@contextmanager
def _data_file(path: Path, segments: Segments) -> Iterator[h5py.File]:
    before = flags_of(path)
    with opened(path) as file:
        if file.attrs.get(MARK) != segments.mark:
            raise RecorderError(f"{path}: it is no data file of this series; bring back the one that is")
        yield file
    if flags_of(path) != before:
        # What was read while it was being closed may be anything.
        raise NotNowError(f"{path}: it is being closed, or opened again")
