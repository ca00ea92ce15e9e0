"""The joined file: the tree of a part, and the frames of all of them by a virtual dataset.

It reads as if one recorder had written the whole series: the same paths, every row in order of the frame numbers. It
is written aside and appears under its name when it is whole.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import h5py
import msgspec

from stins import Share
from stins.control import JoinRequest, SeriesStatus
from stins.share import part_name

from ..errors import RecorderError, storage_error
from ..nexus import SERIES, now_iso
from ..nexus.tree import store_tree
from ..paths import resolve
from ..recording.account import closing
from ..series.series_file import DATASET
from ..storage import LIBVER, sync_folder
from .account import Found, Whole, whole_of
from .part import UnreadablePartError, read_part
from .rows import ranges
from .tree import write_tree

__all__ = ["is_joined", "join_parts"]

#: What a part says of itself and its own data files.
_OF_THE_PARTS = {"frames_expected", "missing_frames", "share", "frames_per_file"}


def join_parts(roots: Sequence[Path], request: JoinRequest) -> SeriesStatus:
    """Writes the joined file, and returns the account of the whole series.

    A part that is absent, or not closed, is left out, and its frames are missing. Joining again, when a part has come
    back, replaces a joined file of the same series, and nothing else.

    Raises:
        RecorderError: a part is not there although its recorder lives, is of another series, or cannot be joined.
    """
    path = resolve(roots, request.filename, standing=True)
    found = [_find(path, request, index) for index in range(request.count)]
    whole = whole_of(path, request, found)
    if not whole.parts:
        raise RecorderError(f"{path}: none of its {request.count} parts can be read: {whole.account.reason}")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with h5py.File(beside, "x", libver=LIBVER, locking=False) as file:
            account = _write(file, request, whole)
        _publish(beside, path, request.series_id)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise storage_error("join", path, error) from error
    finally:
        with suppress(OSError):
            beside.unlink()
    return account


def _find(path: Path, request: JoinRequest, index: int) -> Found:
    part = path.with_name(part_name(path.name, index))
    try:
        return read_part(part, request.series_id, Share(index=index, count=request.count))
    except FileNotFoundError:
        if index in request.absent:
            return UnreadablePartError(f"{part} is not there")
        raise RecorderError(
            f"{part}: no such file, though its recorder has closed it; recorders that share a series need a root that "
            "all of them see"
        ) from None
    except UnreadablePartError as error:
        return error


def _write(file: h5py.File, request: JoinRequest, whole: Whole) -> SeriesStatus:
    account = whole.account
    values: dict[str, object] = {"filename": request.filename, **closing(account)}
    if request.frames_expected is not None:
        values["frames_expected"] = request.frames_expected
    frames = write_tree(file, whole.parts, whole.numbers, {*values, *_OF_THE_PARTS})
    file.attrs.update({"file_name": str(account.file), "file_time": now_iso()})
    store_tree(file[SERIES], values)
    file[SERIES]["missing_frames"] = ranges(whole.missing).astype("<u8")
    file[SERIES]["rows"][()] = account.rows
    file[SERIES]["parts"] = [part.path.name for part in whole.parts]
    if frames is None:
        return account
    return msgspec.structs.replace(
        account, dataset=DATASET, shape=frames.shape, dtype=frames.dtype, chunk_shape=frames.chunk_shape
    )


def _publish(beside: Path, path: Path, series_id: str) -> None:
    """Exclusively; what stands there already is replaced only if it was joined from the same series."""
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    try:
        os.link(beside, path)
    except FileExistsError:
        if not is_joined(path, series_id):
            raise
        beside.replace(path)
    sync_folder(path.parent)


def is_joined(path: Path, series_id: str) -> bool:
    """Whether what stands there shows the parts of that series."""
    with h5py.File(path, "r", locking=False) as file:
        series = file.get(SERIES)
        return series is not None and "parts" in series and series["id"].asstr()[()] == series_id
