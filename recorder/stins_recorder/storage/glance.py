"""The file of a dead writer as it would read once repaired, without changing it: first it must be known whose it is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from .superblock import repaired
from .transaction import Overlay, has_record

__all__ = ["glance"]


@contextmanager
def glance(path: Path) -> Iterator[h5py.File | None]:
    """The file for reading; None where a change of ours stands at its end and waits to be carried out.

    Raises:
        RecorderError: it is no HDF5 file of a recorder.
        OSError, RuntimeError, ...: it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if has_record(descriptor):
            yield None
            return
        overlay = Overlay(descriptor)
        if (block := repaired(descriptor, path)) is not None:
            overlay.write(memoryview(block))
        with h5py.File(overlay, "r") as file:
            yield file
    finally:
        os.close(descriptor)
