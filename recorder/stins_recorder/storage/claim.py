"""Who writes a file: a lock that ends with its process, and that no reader notices."""

import errno
import fcntl
import os
import struct
from pathlib import Path

from ..errors import RecorderError

__all__ = ["claim"]

#: C's `struct flock`: a lock for writing, of the whole file.
_WHOLE_FILE = struct.pack("@hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


def claim(path: Path) -> int:
    """A descriptor of the file for reading and writing; as long as it is open, nobody else gets one here.

    It is a lock of the descriptor's own (F_OFD_SETLK): HDF5, which opens and closes the same file in this process,
    doesn't take it away, and HDF5's own locks, which readers take, are of another kind.

    Raises:
        RecorderError: somebody else writes it.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _WHOLE_FILE)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            os.close(descriptor)
            raise RecorderError(f"{path}: a recorder is writing it") from error
        # A file system without locks: then nobody is kept from it.
    return descriptor
