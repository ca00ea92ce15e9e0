"""One pass over the stored chunks of a dataset: where they lie, how long they are, what their filter's header says.

The bytes are read past HDF5, twelve of each chunk: a chunk is never decoded here, whatever it holds.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np

from stins.findings import Fault

from ..layout import FILTERS

__all__ = ["ChunkScan", "filter_of", "scan_chunks"]

_HEADER_BYTES = 12
_LARGEST_BLOCK = 1 << 30
_MOST_FAULTS = 51  # one more than is listed of a rule, so that the list says that there are more
_PROGRESS_EVERY = 256


class ChunkScan(msgspec.Struct):
    """What the pass found. `per_row`: how many chunks each row has; `whole`: how many it should have."""

    whole: int
    per_row: "np.ndarray[Any, Any]"
    chunks: int = 0
    stored_bytes: int = 0
    truncated: list[Fault] = []
    wrong_size: list[Fault] = []
    wrong_header: list[Fault] = []


def filter_of(dataset: h5py.Dataset) -> int | None:
    """The number of the dataset's one filter; None without; -1 for more than one."""
    properties = dataset.id.get_create_plist()
    count = properties.get_nfilters()
    return None if count == 0 else int(properties.get_filter(0)[0]) if count == 1 else -1


def scan_chunks(
    dataset: h5py.Dataset, path: Path, where: str, rows: int, progress: Callable[[str, int, int], None]
) -> ChunkScan:
    """Looks at every stored chunk; `where` names the dataset in faults, `progress` hears what, done, total."""
    grid = [-(-side // chunk) for side, chunk in zip(dataset.shape[1:], dataset.chunks[1:], strict=True)]
    scan = ChunkScan(whole=int(np.prod(grid)), per_row=np.zeros(rows, np.uint32))
    handle = os.open(path, os.O_RDONLY)
    try:
        _Pass(dataset, where, handle, scan, progress).run()
    finally:
        os.close(handle)
    return scan


class _Pass:
    def __init__(
        self,
        dataset: h5py.Dataset,
        where: str,
        handle: int,
        scan: ChunkScan,
        progress: Callable[[str, int, int], None],
    ) -> None:
        self._dataset = dataset
        self._where = where
        self._handle = handle
        self._scan = scan
        self._progress = progress
        self._raw_bytes = int(np.prod(dataset.chunks)) * dataset.dtype.itemsize
        self._filter = filter_of(dataset)
        self._total = 0

    def run(self) -> None:
        self._total = self._dataset.id.get_num_chunks()
        # chunk_iter: get_chunk_info(i) starts from the first chunk each time.
        self._dataset.id.chunk_iter(self._look)

    def _look(self, chunk: Any) -> None:
        scan, row = self._scan, int(chunk.chunk_offset[0])
        if scan.chunks % _PROGRESS_EVERY == 0:
            self._progress(f"chunks of {self._where}", scan.chunks, self._total)
        scan.chunks += 1
        scan.stored_bytes += chunk.size
        if row < len(scan.per_row):
            scan.per_row[row] += 1
        where = f"{self._where} row {row}"
        if chunk.byte_offset + chunk.size > os.fstat(self._handle).st_size:
            size = os.fstat(self._handle).st_size
            got = f"a chunk at bytes {chunk.byte_offset} to {chunk.byte_offset + chunk.size}"
            _keep(scan.truncated, Fault(where, got, f"it to end within the file's {size} bytes"))
        elif self._filter is None or chunk.filter_mask:
            self._look_at_raw(where, chunk)
        elif self._filter in FILTERS.values():
            self._look_at_header(where, chunk)

    def _look_at_raw(self, where: str, chunk: Any) -> None:
        if chunk.size != self._raw_bytes:
            expected = f"{self._raw_bytes} for {list(self._dataset.chunks)} of {self._dataset.dtype}"
            _keep(self._scan.wrong_size, Fault(where, f"{chunk.size} bytes", expected))

    def _look_at_header(self, where: str, chunk: Any) -> None:
        """HDF5 filters 32008 and 32004 begin with the raw size (8 bytes) and the block size (4), big-endian."""
        header = os.pread(self._handle, min(_HEADER_BYTES, chunk.size), chunk.byte_offset)
        raw, block = int.from_bytes(header[:8], "big"), int.from_bytes(header[8:], "big")
        if len(header) < _HEADER_BYTES:
            _keep(self._scan.wrong_header, Fault(where, f"{len(header)} bytes", f"a header of {_HEADER_BYTES}"))
        elif raw != self._raw_bytes:
            expected = f"{self._raw_bytes} for {list(self._dataset.chunks)} of {self._dataset.dtype}"
            _keep(self._scan.wrong_header, Fault(where, f"a header that says {raw} bytes", expected))
        elif not 0 < block <= _LARGEST_BLOCK:
            _keep(self._scan.wrong_header, Fault(where, f"a header that says blocks of {block} bytes", "1 to 2^30"))


def _keep(faults: list[Fault], fault: Fault) -> None:
    if len(faults) < _MOST_FAULTS:
        faults.append(fault)
