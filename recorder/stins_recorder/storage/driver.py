"""HDF5's own file driver, but for one thing: asked to, it tells where a chunk goes instead of writing it.

For a compressed frame HDF5 must find the place, and has no call that does only that: `H5Dwrite_chunk` finds it and
writes, in the calling thread and through the page cache. But HDF5 takes file drivers from anybody ("virtual file
layer", H5FDdevelop.h): the one that is registered here has the functions of HDF5's own driver `sec2`, save for `write`
while a place is asked for.
Decision: docs/explanations/decisions/0019-places-from-hdf5-pixels-from-us.md.
"""

import ctypes
import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import h5py

from stins.messages import Payload

__all__ = ["file_driver", "place"]

log = logging.getLogger(__name__)

_NAME: Final = "stins"
#: H5FD_CLASS_VERSION of the layout below (HDF5 1.14 to 2.0).
_VERSION: Final = 1
#: H5FD_MEM_DRAW: the elements of a dataset.
_ELEMENTS: Final = 3
#: A number for a driver of one's own (H5_VFD_RESERVED and above).
_VALUE: Final = 600
_ANY_ADDRESS: Final = (1 << 63) - 1

_Write = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_int64,
    ctypes.c_uint64,
    ctypes.c_size_t,
    ctypes.c_void_p,
)


class _Class(ctypes.Structure):
    """H5FD_class_t; what is of no interest here has no type."""

    _fields_ = (
        ("version", ctypes.c_uint),
        ("value", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("maxaddr", ctypes.c_uint64),
        ("fc_degree", ctypes.c_int),
        # terminate, sb_*, fapl_*, dxpl_*, open, close, cmp, query, get_type_map, alloc, free, *_eoa, *_eof, get_handle
        ("before", ctypes.c_void_p * 22),
        ("read", ctypes.c_void_p),
        ("write", ctypes.c_void_p),
        ("several", ctypes.c_void_p * 4),
        # flush, truncate, lock, unlock, del, ctl
        ("after", ctypes.c_void_p * 6),
        ("fl_map", ctypes.c_int * 7),
    )


class _File(ctypes.Structure):
    """The beginning of H5FD_t."""

    _fields_ = (("driver_id", ctypes.c_int64), ("cls", ctypes.POINTER(_Class)))


class _Driver:
    """The registered driver. HDF5 runs one call at a time: there is one chunk at most whose place is asked for."""

    def __init__(self) -> None:
        self._hdf5 = hdf5 = _library()
        properties = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
        properties.set_fapl_sec2()
        file = hdf5.H5FDopen(b"/dev/null", 0, properties.id, _ANY_ADDRESS)
        own = ctypes.cast(file, ctypes.POINTER(_File)).contents.cls.contents
        # It writes one piece at a time, or `write` would not be all there is to take over.
        if own.version != _VERSION or own.name != b"sec2" or not own.write or any(own.several):
            raise OSError(f"HDF5 {h5py.version.hdf5_version} has drivers of another kind")
        self._class = _Class.from_buffer_copy(own)
        hdf5.H5FDclose(file)
        self._class.name, self._class.value = _NAME.encode(), _VALUE
        self._own_write: Any = _Write(own.write)
        self._write = _Write(self._called)
        self._wanted = 0
        self._found: int | None = None
        self._id = hdf5.H5FDregister(ctypes.byref(self._class))
        if self._id < 0:
            raise OSError(f"HDF5 {h5py.version.hdf5_version} did not take a driver")
        # HDF5 has a copy of its own. There `write` is ours for as long as a place is asked for: to be called in Python
        # would cost every other write 5 us.
        self._choose(properties)
        file = hdf5.H5FDopen(b"/dev/null", 0, properties.id, _ANY_ADDRESS)
        self._live = ctypes.cast(file, ctypes.POINTER(_File)).contents.cls.contents
        hdf5.H5FDclose(file)
        if self._live.name != _NAME.encode() or self._live.write != own.write:
            raise OSError(f"HDF5 {h5py.version.hdf5_version} keeps its drivers in another way")
        self._theirs, self._ours = own.write, ctypes.cast(self._write, ctypes.c_void_p).value
        h5py.register_driver(_NAME, self._choose)

    def _choose(self, properties: Any, **_: Any) -> None:
        if self._hdf5.H5Pset_driver(properties.id, self._id, None) < 0:
            raise OSError("HDF5 did not take its driver")

    def place(self, write_chunk: Callable[[], None], size: int) -> int | None:
        """Where HDF5 writes the chunk of that size, which it does not; None: it has written it."""
        self._wanted, self._found = size, None
        self._live.write = self._ours
        try:
            write_chunk()
        finally:
            self._live.write = self._theirs
            self._wanted = 0
        return self._found

    def _called(self, file: int, kind: int, transfer: int, address: int, size: int, content: int) -> int:  # noqa: PLR0917
        """In HDF5's place."""
        if kind == _ELEMENTS and size == self._wanted:
            self._wanted, self._found = 0, address
            return 0
        result: int = self._own_write(file, kind, transfer, address, size, content)
        return result


def _library() -> Any:
    """The HDF5 that h5py has loaded."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = Path(line.split()[-1])
        if path.name.startswith("libhdf5") and "_hl" not in path.name:
            hdf5 = ctypes.CDLL(str(path))
            hdf5.H5FDopen.restype = ctypes.c_void_p
            hdf5.H5FDopen.argtypes = [ctypes.c_char_p, ctypes.c_uint, ctypes.c_int64, ctypes.c_uint64]
            hdf5.H5FDclose.argtypes = [ctypes.c_void_p]
            hdf5.H5FDregister.restype = ctypes.c_int64
            hdf5.H5FDregister.argtypes = [ctypes.c_void_p]
            hdf5.H5Pset_driver.argtypes = [ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
            return hdf5
    raise OSError("no library of HDF5 is loaded")


@cache
def _driver() -> _Driver | None:
    try:
        return _Driver()
    except (OSError, AttributeError, ValueError) as error:
        log.warning("large compressed frames are written by HDF5 itself, which is slower: %s", error)
        return None


def file_driver() -> str | None:
    """What to open a file with so that `place` works on it; None: as always, and `place` has HDF5 write."""
    return None if _driver() is None else _NAME


def place(handle: Any, corner: tuple[int, ...], content: Payload) -> int | None:
    """Gives a chunk its place (bytes from the beginning of the file) for the caller to write it; None: it is written.

    `handle` is that of a dataset in a file that was opened with `file_driver`.
    """
    driver = _driver()
    if driver is None:
        handle.write_direct_chunk(corner, content)
        return None
    return driver.place(lambda: handle.write_direct_chunk(corner, content), len(content))
