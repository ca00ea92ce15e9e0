"""A shared series while it runs: one file that shows the parts as they grow.

What it shows is mapped ahead, row by row in turn, over parts that get longer: it is as long as the series will be, and
beyond the rows that all parts have it reads as they do. At its end the joined file takes its place.
"""

import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  # registers the filters that the parts' chunks name
import numpy as np

from stins import Share
from stins.control import JoinRequest
from stins.share import part_name

from ..errors import RecorderError, storage_error
from ..nexus import DETECTOR, SERIES
from ..paths import resolve
from ..series.asked import FRAME_NUMBERS, described, numbers_file, read_asked
from ..shares import share_of
from ..storage import LIBVER
from .master import is_joined
from .tree import copy_around, link_plot, per_frame, pixels_of

__all__ = ["hide_parts", "show_parts"]

#: Rows of a series whose length nobody knows.
_UNKNOWN = 1 << 22
#: What a part says of itself, and what is known at the end only.
_OF_THE_PARTS = {"frames_expected", "share", "frames_per_file", "rows", "filename"}


def show_parts(roots: Sequence[Path], request: JoinRequest) -> None:
    """Writes the file that shows the parts; one that is there already, of the same series, is left as it is.

    No frame of the series may have been discarded: its rows would not be in turn any more.

    Raises:
        RecorderError: a part is not there, has no frame yet, or is of another series.
    """
    path = resolve(roots, request.filename, standing=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with h5py.File(beside, "x", libver=LIBVER, locking=False) as file:
            _write(file, path, request)
        try:
            os.link(beside, path)
        except FileExistsError:
            # It may be the joined file by now.
            if not is_joined(path, request.series_id):
                raise
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise storage_error("show", path, error) from error
    finally:
        with suppress(OSError):
            beside.unlink()


def hide_parts(roots: Sequence[Path], request: JoinRequest) -> None:
    """Takes such a file away again, and nothing else.

    Raises:
        RecorderError: the disk refuses it.
    """
    path = resolve(roots, request.filename, standing=True)
    try:
        with h5py.File(path, "r", locking=False) as file:
            shown = is_joined(path, request.series_id) and "/entry/end_time" not in file
        if shown:
            path.unlink()
    except FileNotFoundError:
        return
    except (OSError, RuntimeError, KeyError) as error:
        raise storage_error("hide", path, error) from error


def _write(file: h5py.File, path: Path, request: JoinRequest) -> None:
    with ExitStack() as stack:
        parts = [_open(path, request, index, stack) for index in range(request.count)]
        model = parts[0]
        pixels, numbers = pixels_of(model), per_frame(model)
        copy_around(model, file, {*pixels, *numbers}, _OF_THE_PARTS)
        names = [Path(part.filename).name for part in parts]
        rows = request.frames_expected or _UNKNOWN
        for place in (*pixels, *numbers):
            if any(place not in part or part[place].shape[1:] != model[place].shape[1:] for part in parts):
                raise RecorderError(f"{path}: its parts differ in {place}; they can be read one by one until its end")
            shown = _shown(file, place, model[place], [(name, place) for name in names], rows)
            shown.attrs.update(model[place].attrs)
        if (asked := read_asked(model)) is not None:
            file.create_group(FRAME_NUMBERS).attrs["NX_class"] = "NXcollection"
            for name, attributes in described(asked.request):
                place = f"{FRAME_NUMBERS}/{name}"
                sources = [(numbers_file(Path(part)).name, place) for part in names]
                _shown(file, place, None, sources, rows).attrs.update(attributes)
        link_plot(file, model, [*pixels, *numbers])
        file.attrs["file_name"] = str(path)
        file[SERIES]["filename"] = request.filename
        file[SERIES]["parts"] = names
        if request.frames_expected is not None:
            file[SERIES]["frames_expected"] = request.frames_expected


def _open(path: Path, request: JoinRequest, index: int, stack: ExitStack) -> h5py.File:
    part = path.with_name(part_name(path.name, index))
    file = stack.enter_context(h5py.File(part, "r", swmr=True, locking=False))
    got, expected = (file[SERIES]["id"].asstr()[()], share_of(file)), (request.series_id, _share(request, index))
    if got != expected:
        raise RecorderError(f"{part}: got series {got[0]}, share {got[1]}, expected {expected[0]}, {expected[1]}")
    if f"{DETECTOR}/sequence_number" not in file:
        raise RecorderError(f"{part}: it has no frame yet")
    return file


def _share(request: JoinRequest, index: int) -> Share:
    return Share(index=index, count=request.count)


def _shown(
    file: h5py.File, path: str, model: h5py.Dataset | None, sources: Sequence[tuple[str, str]], rows: int
) -> h5py.Dataset:
    """Row by row in turn; `model` is how a source looks, None for a column of numbers."""
    shape: tuple[int, ...] = () if model is None else model.shape[1:]
    dtype: np.dtype[Any] = np.dtype("<f8") if model is None else model.dtype
    layout = h5py.VirtualLayout((rows, *shape), dtype)
    for index, (name, place) in enumerate(sources):
        own = Share(index=index, count=len(sources)).before(rows)
        if own:
            layout[index :: len(sources)] = h5py.VirtualSource(name, place, (own, *shape), dtype)[:own]
    return file.create_virtual_dataset(path, layout, fillvalue=np.nan if model is None else model.fillvalue)
