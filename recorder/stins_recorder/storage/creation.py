"""New files: under their name they are whole, or not there.

A file is built beside its place, and gets its name by a hard link, which fails where something of that name stands.
The other link stays until the first frame comes: as long as both are there, the writer that made them may have died
before anybody was told of the file, and the name is free for the next.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import h5py

from . import hdf5
from .claim import claim

__all__ = ["create_file", "settle"]


def create_file(path: Path, build: Callable[[h5py.File], None]) -> int:
    """Builds a new file, closed and whole; the descriptor by which it is claimed.

    Raises:
        RecorderError: from `build`.
        OSError, RuntimeError, ...: it cannot be created; nothing is left behind, and nothing that stands is touched.
    """
    beside = _beside(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear(path, beside)
    with hdf5.create(beside) as file:
        try:
            build(file)
        except BaseException:
            beside.unlink()
            raise
    descriptor = claim(beside)
    try:
        path.hardlink_to(beside)
    except OSError:
        os.close(descriptor)
        beside.unlink()
        raise
    return descriptor


def settle(path: Path) -> None:
    """The file is there to stay."""
    with suppress(FileNotFoundError):
        _beside(path).unlink()


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _clear(path: Path, beside: Path) -> None:
    """Takes away what a writer left behind that died before its first frame."""
    if not beside.exists():
        return
    os.close(claim(beside))
    if path.exists() and path.samefile(beside):
        path.unlink()
    beside.unlink()
