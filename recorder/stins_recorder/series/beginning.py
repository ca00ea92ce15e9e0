"""What stands in a file before the frames: its tree when the series starts, and the datasets at the first one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import h5py
import numpy as np

from stins import Data, Part, SeriesStart
from stins.messages import Payload

from ..layout import FrameWriterLayout
from ..nexus import DATA, DETECTOR, SERIES, add_default_plot, build_tree
from ..segments import Segments
from ..storage import create_datasets
from ..storage.columns import Column
from .frame_numbers import FrameNumbers
from .segment_views import write_segments

__all__ = ["CreateDatasets", "begin", "build"]

#: Makes the datasets of a layout in a group, given the names of each one's parts.
CreateDatasets: TypeAlias = Callable[[h5py.Group, FrameWriterLayout, Sequence[Sequence[str]]], None]


def build(
    file: h5py.File, path: Path, start: SeriesStart, payload: Sequence[Payload], segments: Segments | None
) -> None:
    """The tree of a file that will be called `path`; with segments its frames stand in data files beside it."""
    build_tree(file, start, payload)
    file.attrs["file_name"] = str(path)
    rows = file[SERIES].create_dataset("rows", data=np.uint64(0))
    rows.attrs["description"] = "rows that are there; while the series runs, the datasets may be longer"
    if segments is not None:
        write_segments(file, segments)


def begin(
    file: h5py.File,
    layout: FrameWriterLayout,
    first: Data | None,
    *,
    ahead: bool = False,
    create: CreateDatasets = create_datasets,
) -> None:
    """The datasets of frames and of their numbers, and the default plot.

    `first` is the first frame, None for a series that ends without one; `ahead`: the number of frames is known, and
    the room of their numbers is taken when the columns are extended. `create` makes the datasets of frames.
    """
    detector = file[DETECTOR]
    _clear(file, layout)
    if layout.datasets:
        create(detector, layout, _part_names(layout, first.data or () if first else ()))
    if first is None:
        Column.create(detector, "sequence_number", "<u8", 0)
    else:
        FrameNumbers.create(detector, first, ahead=ahead)
    if layout.datasets:
        add_default_plot(file, "sequence_number", 1 + len(layout.datasets[0].shape))
    else:
        _plot_numbers(file)


def _clear(file: h5py.File, layout: FrameWriterLayout) -> None:
    """A writer may have died before its first frame was flushed; the one that comes now may look different."""
    datasets = {dataset.name for dataset in layout.datasets}
    numbers = {"sequence_number", "timestamp", "acquisition_timestamp", "frame_specific"}
    detector, plot = file[DETECTOR], file[DATA]
    for group, names in (detector, datasets | numbers), (plot, {*plot}):
        for name in names & {*group}:
            del group[name]


def _part_names(layout: FrameWriterLayout, parts: Sequence[Part]) -> list[list[str]]:
    targets = list(zip(parts, layout.targets, strict=True)) if parts else []
    return [[part.name for part, target in targets if target == index] for index in range(len(layout.datasets))]


def _plot_numbers(file: h5py.File) -> None:
    """A source without images: its first number is the default plot."""
    detector, data = file[DETECTOR], file[DATA]
    sequence, custom = detector["sequence_number"], detector.get("frame_specific", {})
    name = next((name for name in custom if name != "notes"), None)
    signal = sequence if name is None else custom[name]
    label = "value" if name in (None, "frame_number") else name
    data[label] = signal
    data["frame_number"] = sequence
    data.attrs.update({"signal": label, "axes": ["frame_number"], "frame_number_indices": 0})
    signal.attrs["target"] = signal.name
