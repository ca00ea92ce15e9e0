"""The frames of a series in several data files, shown as one dataset."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import h5py
import msgspec

from stins import Spans

from ..layout import DatasetLayout, FrameWriterLayout
from ..nexus import SERIES, plot_frames
from ..segments import FRAMES, Segments
from ..storage import Piece, create_virtual

__all__ = ["create_views", "read_segments", "show_ended", "show_running", "write_segments"]

_PER_FILE, _MARK = f"{SERIES}/frames_per_file", "mark"


def write_segments(file: h5py.File, segments: Segments) -> None:
    """Lets the series' file say that it has data files."""
    file[_PER_FILE] = segments.frames_per_file
    file[_PER_FILE].attrs.update({_MARK: segments.mark, "description": "frames in each of the data files beside it"})


def read_segments(file: h5py.File) -> Segments | None:
    """What it says; None where its frames stand in itself."""
    found = file.get(_PER_FILE)
    return None if found is None else Segments(int(found[()]), str(found.attrs[_MARK]))


def create_views(
    detector: h5py.Group,
    layout: FrameWriterLayout,
    names: Sequence[Sequence[str]],
    *,
    segments: Segments,
    series: Path,
    expected: int,
) -> None:
    """New datasets that show rows as they come; `names` are those of each one's parts."""
    for dataset, parts in zip(layout.datasets, names, strict=True):
        rows, pieces = _running(dataset, segments, series, expected)
        view = create_virtual(detector, dataset, rows, pieces)
        view.attrs.update({"units": "counts", "part_names": list(parts)})


def show_running(
    detector: h5py.Group, layouts: Sequence[DatasetLayout], segments: Segments, series: Path, expected: int
) -> None:
    """The same, in the place of those that were shown."""
    _replace(detector, layouts, lambda layout: _running(layout, segments, series, expected))


def show_ended(
    detector: h5py.Group,
    layouts: Sequence[DatasetLayout],
    segments: Segments,
    series: Path,
    *,
    rows: int,
    hidden: Spans,
) -> None:
    """Shows exactly so many rows; those hidden read as missing."""
    if not hidden.count and all(len(detector[layout.name]) == rows for layout in layouts):
        return  # as was expected
    visible = Spans([(0, rows - 1)])
    for first, last in hidden:
        visible.remove(first, last)
    _replace(detector, layouts, lambda layout: (rows, _pieces(segments, series, layout, visible, rows)))


def _running(layout: DatasetLayout, segments: Segments, series: Path, expected: int) -> tuple[int, Iterator[Piece]]:
    """How many rows are shown while the series runs, and where they will stand: each file will be as long as it can."""
    rows = segments.shown(expected)
    whole = segments.first(segments.index(rows - 1) + 1)
    return rows, _pieces(segments, series, layout, Spans([(0, rows - 1)]), whole)


def _pieces(segments: Segments, series: Path, layout: DatasetLayout, visible: Spans, rows: int) -> Iterator[Piece]:
    """Where the visible rows stand; the files have `rows` of them."""
    for begin, end in visible:
        for index in range(segments.index(begin), segments.index(end) + 1):
            start = segments.first(index)
            first, last = max(begin, start), min(end, start + segments.frames_per_file - 1)
            yield Piece(
                first=first,
                last=last,
                file=segments.path(series, index).name,
                dataset=f"{FRAMES}/{layout.name}",
                rows=segments.rows(index, rows),
                start=first - start,
            )


def _replace(
    detector: h5py.Group,
    layouts: Sequence[DatasetLayout],
    view: Callable[[DatasetLayout], tuple[int, Iterable[Piece]]],
) -> None:
    """Others may be reading: what goes must be the last to go, or HDF5 puts something new in its place."""
    old = [detector[layout.name] for layout in layouts]  # as long as it is open, its place is taken
    for layout, dataset in zip(layouts, old, strict=True):
        new = msgspec.structs.replace(layout, name=f"{layout.name}_new")
        create_virtual(detector, new, *view(layout)).attrs.update(dataset.attrs)
        del detector[layout.name]
        detector.move(new.name, layout.name)
    plot_frames(detector.file)
