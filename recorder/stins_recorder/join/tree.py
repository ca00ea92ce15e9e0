"""What stands in a joined file: the tree of one part, the frames and their numbers of all."""

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  # registers the filters that the parts' chunks name
import msgspec
import numpy as np

from ..errors import RecorderError
from ..nexus import DATA, DETECTOR, ENTRY, SERIES
from ..nexus.scan_axes import angles, axis_columns
from ..series.asked import FRAME_NUMBERS, described, numbers_file, read_asked
from .part import Numbers, PartFile
from .rows import Run, runs

__all__ = ["Frames", "copy_around", "link_plot", "per_frame", "pixels_of", "write_tree"]

_SEQUENCE, _FREE = f"{DETECTOR}/sequence_number", f"{DETECTOR}/frame_specific"
_NOTES = f"{_FREE}/notes"
_COLUMNS = (_SEQUENCE, f"{DETECTOR}/timestamp", f"{DETECTOR}/acquisition_timestamp")
_TIMES = {f"{ENTRY}/start_time": min, f"{ENTRY}/end_time": max, f"{ENTRY}/end_time_estimated": max}
#: HDF5 looks through all of them whenever the dataset is opened.
_MOST_RUNS = 10_000


class _Source(msgspec.Struct, frozen=True):
    """An open part, and where its rows go: one by one, and in runs."""

    name: str
    file: h5py.File
    rows: Numbers
    places: Numbers
    runs: tuple[Run, ...]

    @property
    def length(self) -> int:
        """How many rows the part has."""
        return len(self.file[_SEQUENCE])


class Frames(msgspec.Struct, frozen=True):
    """The default dataset of the joined file: the shape of a frame, not of all."""

    shape: tuple[int, ...]
    dtype: str
    chunk_shape: tuple[int, ...]


def write_tree(file: h5py.File, parts: Sequence[PartFile], numbers: Numbers, skip: Collection[str]) -> Frames | None:
    """Fills the new file, all but the keys `skip` of /entry/series; returns what its frames look like, if it has any.

    Raises:
        RecorderError: the parts do not fit together.
    """
    with ExitStack() as stack:
        sources = [_open(part, numbers, stack) for part in parts]
        # The one with the most frames knows best what there is.
        model = max(sources, key=lambda source: len(source.places)).file
        pixels = pixels_of(model)
        columns = sorted({path for source in sources for path in _columns(source.file)})
        behind = {path for name in pixels for path in _behind(model[name])}
        axes = axis_columns(model)
        own = {*pixels, *behind, *columns, _NOTES, DATA, *_TIMES, *(f"{SERIES}/{key}" for key in skip)}
        own |= {axis.name for axis in axes}
        _copy(model["/"], file["/"], own)
        for path, choose in _TIMES.items():
            if path in model:
                file[path] = choose(source.file[path].asstr()[()] for source in sources)
        for path in pixels:
            _virtual(file, path, model[path], sources, len(numbers))
        for path in columns:
            _column(file, path, sources, numbers)
        for axis in axes:
            file.create_dataset(axis.name, data=angles(axis, numbers)).attrs.update(axis.attrs)
        if _NOTES in model:
            _notes(file, sources)
        _frame_numbers(file, model, sources, len(numbers))
        link_plot(file, model, [*pixels, *columns])
        return _frames(model)


def pixels_of(file: h5py.File) -> list[str]:
    """The datasets of frames."""
    return [item.name for item in file[DETECTOR].values() if "part_names" in item.attrs]


def per_frame(file: h5py.File) -> list[str]:
    """The datasets with a number for each frame, axes that move among them."""
    return [*_columns(file), *(axis.name for axis in axis_columns(file))]


def copy_around(source: h5py.File, target: h5py.File, shown: Collection[str], skip: Collection[str]) -> None:
    """Copies everything but what is `shown` otherwise, the plot of it, notes, and the keys `skip` of /entry/series."""
    _copy(source["/"], target["/"], {*shown, _NOTES, DATA, *(f"{SERIES}/{key}" for key in skip)})


def _open(part: PartFile, numbers: Numbers, stack: ExitStack) -> _Source:
    file = stack.enter_context(h5py.File(part.path, "r", locking=False))
    places = np.searchsorted(numbers, part.numbers)
    found = tuple(runs(part.rows, places))
    if len(found) > _MOST_RUNS:
        raise RecorderError(
            f"{part.path}: got {len(found)} runs of rows between discarded frames, expected at most {_MOST_RUNS}; "
            "such a series can be read from its parts only"
        )
    return _Source(part.path.name, file, part.rows, places, found)


def _columns(file: h5py.File) -> list[str]:
    """The datasets that have a number for each frame."""
    free = file.get(_FREE, {})
    return [path for path in _COLUMNS if path in file] + [f"{_FREE}/{name}" for name in free if name != "notes"]


def _behind(dataset: h5py.Dataset) -> list[str]:
    """The datasets of the same file that it shows rows of."""
    sources = dataset.virtual_sources() if dataset.is_virtual else []
    return [source.dset_name for source in sources if source.file_name == "."]


def _copy(source: h5py.Group, target: h5py.Group, own: Collection[str]) -> None:
    """Copies a group, all but what the joined file has of its own."""
    target.attrs.update(source.attrs)
    for name, item in source.items():
        link = source.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            continue  # to the numbers of this part
        if isinstance(link, h5py.SoftLink):
            target[name] = link
        elif item.name in own:
            continue
        elif isinstance(item, h5py.Group) and any(path.startswith(f"{item.name}/") for path in own):
            _copy(item, target.create_group(name), own)
        else:
            source.copy(item, target, name)


def _virtual(file: h5py.File, path: str, model: h5py.Dataset, sources: Sequence[_Source], rows: int) -> None:
    """Rows that no part has read as the fill value. The parts are named relative to the joined file."""
    layout = h5py.VirtualLayout((rows, *model.shape[1:]), model.dtype)
    for source in sources:
        if path not in source.file or not source.runs:
            continue
        part = source.file[path]
        if (part.shape[1:], part.dtype) != (model.shape[1:], model.dtype):
            raise RecorderError(
                f"{source.name}: got {path} {part.shape[1:]} {part.dtype}, expected {model.shape[1:]} {model.dtype} "
                f"as in {model.file.filename}"
            )
        rows_of = h5py.VirtualSource(source.name, path, part.shape, part.dtype)
        for run in source.runs:
            end = run.place + (run.count - 1) * run.step + 1
            layout[run.place : end : run.step] = rows_of[run.first : run.first + run.count]
    joined = file.create_virtual_dataset(path, layout, fillvalue=model.fillvalue)
    joined.attrs.update(model.attrs)


def _frame_numbers(file: h5py.File, model: h5py.File, sources: Sequence[_Source], rows: int) -> None:
    """Numbers that are computed beside the parts, by links as the frames: some may still be to come."""
    if (asked := read_asked(model)) is None:
        return
    group = file.create_group(FRAME_NUMBERS)
    group.attrs["NX_class"] = "NXcollection"
    for name, attributes in described(asked.request):
        layout = h5py.VirtualLayout((rows,), "<f8")
        for source in sources:
            beside = numbers_file(Path(source.name)).name
            numbers_of = h5py.VirtualSource(beside, f"{FRAME_NUMBERS}/{name}", (source.length,), "<f8")
            for run in source.runs:
                end = run.place + (run.count - 1) * run.step + 1
                layout[run.place : end : run.step] = numbers_of[run.first : run.first + run.count]
        group.create_virtual_dataset(name, layout, fillvalue=np.nan).attrs.update(attributes)


def _column(file: h5py.File, path: str, sources: Sequence[_Source], numbers: Numbers) -> None:
    """The numbers themselves: they are few, and stay when a part is lost."""
    found = [(source, source.file[path]) for source in sources if path in source.file]
    model = found[0][1]
    values = np.full(len(numbers), model.fillvalue, np.result_type(*(column.dtype for _, column in found)))
    for source, column in found:
        values[source.places] = column[()][source.rows]
    dataset = file.create_dataset(path, data=numbers.astype("<u8") if path == _SEQUENCE else values)
    dataset.attrs.update(model.attrs)


def _notes(file: h5py.File, sources: Sequence[_Source]) -> None:
    """Lines of JSON: each says its row."""
    lines: list[dict[str, Any]] = []
    for source in sources:
        raw = source.file[_NOTES][()].tobytes() if _NOTES in source.file else b""
        for line in raw.splitlines():
            note = msgspec.json.decode(line)
            lines.append({**note, "row": int(source.places[np.searchsorted(source.rows, note["row"])])})
    lines.sort(key=lambda note: int(note["row"]))
    content = b"".join(msgspec.json.encode(note) + b"\n" for note in lines)
    dataset = file.create_dataset(_NOTES, data=np.frombuffer(content, np.uint8))
    dataset.attrs.update(next(source.file[_NOTES].attrs for source in sources if _NOTES in source.file))


def link_plot(file: h5py.File, model: h5py.File, paths: Sequence[str]) -> None:
    """The default plot: links to the same datasets as in the part."""
    data = file.create_group(DATA)
    data.attrs.update(model[DATA].attrs)
    for name, item in model[DATA].items():
        data[name] = file[next(path for path in [*paths, item.attrs.get("target", DATA)] if model.get(path) == item)]


def _frames(model: h5py.File) -> Frames | None:
    data = model[DETECTOR].get("data")
    if data is None:
        return None
    return Frames(tuple(data.shape[1:]), data.dtype.str, data.chunks or (1, *data.shape[1:]))
