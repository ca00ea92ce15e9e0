"""How HDF5 files are opened for writing here."""

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  # registers the filters that stored chunks name

from .driver import file_driver

__all__ = ["ALIGNED_FROM", "ALIGNMENT", "HDF5_ERRORS", "LIBVER", "create", "meta_bytes", "open_swmr", "options"]

#: HDF5 1.10 reads it.
LIBVER = ("v110", "v110")
#: What h5py raises when HDF5 or the file system fails.
HDF5_ERRORS = (OSError, RuntimeError, ValueError, KeyError)
#: Chunks begin on a page, as writing past the page cache wants it; smaller ones would waste too much between them.
ALIGNMENT, ALIGNED_FROM = 4096, 1 << 15
#: Metadata in blocks saves small writes.
_META_BLOCK = 1 << 20
#: What the index takes for a chunk, and a little.
_INDEX_BYTES = 9


def options(chunks: int = 0) -> dict[str, Any]:
    """Arguments of `h5py.File` for a file that is to hold so many chunks: their index gets one block of its own."""
    return {
        "libver": LIBVER,
        # One that is open for writing must be readable; who writes is settled by `claim`.
        "locking": False,
        # Whole chunks pass the cache by.
        "rdcc_nbytes": 0,
        "meta_block_size": _META_BLOCK + _INDEX_BYTES * chunks,
        "alignment_threshold": ALIGNED_FROM,
        "alignment_interval": ALIGNMENT,
    }


def meta_bytes(chunks: int) -> int:
    """How much at most HDF5 takes for the index of so many chunks more, in whole blocks."""
    return 2 * (_META_BLOCK + _INDEX_BYTES * chunks)


def create(path: Path) -> h5py.File:
    """A new file; one that is there already is an error."""
    return h5py.File(path, "x", **options())


def open_swmr(path: Path, chunks: int = 0) -> h5py.File:
    """Opens a file that is whole, so that others can read it while it is written."""
    file = h5py.File(path, "r+", driver=file_driver(), **options(chunks))
    file.swmr_mode = True
    return file
