"""What is gone of files that were closed in good order."""

from contextlib import suppress
from pathlib import Path

import h5py

from ..check.recorded_file import RecordedFile
from ..errors import RecorderError
from ..series.segment_views import read_segments
from ..storage import bytes_gone

__all__ = ["data_files_cut_off", "data_files_gone"]


def data_files_gone(path: Path) -> list[str]:
    """Of each of its data files that a frame is in, and that is gone or cut off, what to say of it.

    Raises:
        RecorderError: a data file is no HDF5 file.
        OSError, RuntimeError, ...: one cannot be read.
    """
    with h5py.File(path, "r", locking=False) as h5:
        needed = RecordedFile(h5, path, lambda *_: None).needed
    return [f"{each.path.name} {what}" for each in needed if (what := _gone(each.path))]


def data_files_cut_off(path: Path, file: h5py.File) -> list[str]:
    """Of each data file of a series without an end that was closed, and cut off since, what to say of it.

    No writer that dies leaves one so, and once repaired it would be taken for whole.
    """
    segments = read_segments(file) if "end_time" not in file["entry"] else None
    found = [each for _, each in segments.standing(path)] if segments else []
    return [f"{each.name} {what}" for each in found if (what := _cut_off(each))]


def _cut_off(path: Path) -> str:
    # What cannot be read costs its own frames, and is left as it is.
    with suppress(OSError, RecorderError):
        return _gone(path)
    return ""


def _gone(path: Path) -> str:
    if not path.is_file():
        return "is gone"
    lacking = bytes_gone(path)
    return f"lacks {lacking} bytes" if lacking else ""
