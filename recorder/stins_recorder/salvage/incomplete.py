"""What is gone of a series that was closed in good order."""

from pathlib import Path

import h5py

from ..check.recorded_file import RecordedFile
from ..storage import bytes_gone

__all__ = ["data_files_gone"]


def data_files_gone(path: Path) -> list[str]:
    """Of each of its data files that a frame is in, and that is gone or cut off, what to say of it.

    Raises:
        RecorderError: a data file is no HDF5 file.
        OSError, RuntimeError, ...: one cannot be read.
    """
    with h5py.File(path, "r", locking=False) as h5:
        needed = RecordedFile(h5, path, lambda *_: None).needed
    return [f"{each.path.name} {what}" for each in needed if (what := _gone(each.path))]


def _gone(path: Path) -> str:
    if not path.is_file():
        return "is gone"
    lacking = bytes_gone(path)
    return f"lacks {lacking} bytes" if lacking else ""
