"""A full disk without one: files of this process cannot grow."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["disk_full_beyond"]


@contextmanager
def disk_full_beyond(size_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond that size: the write fails (EFBIG), as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python 3.11 would keep half of a module's bytecode, and fail on it ever after.
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sys.dont_write_bytecode = before
