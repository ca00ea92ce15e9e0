"""Files that are read while somebody may be writing, closing or opening them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  # registers the filters that compressed chunks name

from ..errors import RecorderError
from ..storage import read_superblock

__all__ = ["NotNowError", "UnreadableError", "flags_of", "opened"]

_SUPERBLOCK_BYTES = 64


class NotNowError(RecorderError):
    """The file is being closed, or opened again: read it in a moment."""


class UnreadableError(RecorderError):
    """Frames could not be read."""


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The file, beside whoever writes it, who does not notice."""
    with h5py.File(path, "r", swmr=True, locking=False) as file:
        yield file


def flags_of(path: Path) -> int:
    """What its superblock says of who has it open."""
    with path.open("rb", buffering=0) as file:
        return read_superblock(os.pread(file.fileno(), _SUPERBLOCK_BYTES, 0), path).flags
