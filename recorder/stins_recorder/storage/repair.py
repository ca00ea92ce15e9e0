"""The file of a writer that died, whole again."""

import os
from pathlib import Path

from ..errors import storage_error
from .claim import claim
from .superblock import repair_superblock
from .transaction import redo

__all__ = ["repair", "repair_open"]


def repair(path: Path) -> bool:
    """Makes the file of a dead writer readable; False if nothing was wrong. A kill in the middle does no harm.

    Raises:
        RecorderError: a recorder is writing the file, or it is none of a recorder.
        StorageError: it cannot be read or written.
    """
    try:
        descriptor = claim(path)
        try:
            return repair_open(descriptor, path)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise storage_error("repair", path, error) from error


def repair_open(descriptor: int, path: Path) -> bool:
    """The same by a descriptor that `claim` gave."""
    redone = redo(descriptor)
    return repair_superblock(descriptor, path) or redone
