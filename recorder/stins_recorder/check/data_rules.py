"""The stored frames: every chunk is there, is whole, and is what its description says."""

from collections.abc import Iterator
from typing import Final

import h5py
import hdf5plugin  # noqa: F401  # registers the filters that decoding needs
import numpy as np

from ..layout import FILTERS
from .chunks import filter_of
from .file_rule import FileCheck, file_rule
from .recorded_file import RecordedFile, spans_text
from .rules import Fault, Severity

__all__ = ["DATA_CHECKS"]

_ERROR = Severity.ERROR


@file_rule("data.layout", _ERROR, "a chunk holds one frame (or part of one), with no filter, bslz4 or lz4")
def _layout(file: RecordedFile) -> Iterator[Fault]:
    for dataset in file.frames:
        if dataset.chunks[0] != 1:
            yield Fault(dataset.name, f"chunks {list(dataset.chunks)}", "1 along the first axis")
        if filter_of(dataset) not in FILTERS.values():
            yield Fault(dataset.name, f"filter {filter_of(dataset)}", "none, or one of 32008 (bslz4) and 32004 (lz4)")


@file_rule("data.chunks", _ERROR, "every frame that is not declared missing is stored, with all its chunks", ended=True)
def _chunks(file: RecordedFile) -> Iterator[Fault]:
    missing = file.declared_missing
    for dataset in file.frames:
        scan = file.scan(dataset)
        partial = np.flatnonzero((scan.per_row > 0) & (scan.per_row != scan.whole) & ~missing)
        if len(partial):
            got = f"{len(partial)} rows with some of their chunks: {spans_text(partial)}"
            yield Fault(dataset.name, got, f"{scan.whole} chunks in each")
        absent = np.flatnonzero((scan.per_row == 0) & ~missing)
        if len(absent) and not _excused(file, scan.per_row):
            got = f"{len(absent)} rows without a chunk: {spans_text(absent)}"
            yield Fault(dataset.name, got, "a chunk in each, or its frame in missing_frames")


def _excused(file: RecordedFile, per_row: "np.ndarray[tuple[int], np.dtype[np.uint32]]") -> bool:
    """With discarded frames around, the number in an empty row may be off by some: then their count decides."""
    account = file.account
    return bool(account and account.discarded and int((per_row == 0).sum()) <= len(per_row) - account.written)


@file_rule("data.missing", Severity.WARNING, "a frame that is declared missing reads as the fill value", ended=True)
def _missing(file: RecordedFile) -> Iterator[Fault]:
    account = file.account
    # What was taken again, and lost that time, leaves the older pixels: the account says so.
    if account is None or account.retaken or account.discarded:
        return
    for dataset in file.frames:
        stored = np.flatnonzero((file.scan(dataset).per_row > 0) & file.declared_missing)
        present = np.array([row for row in stored if not _filled(dataset, int(row))], np.intp)
        if len(present):
            got = f"{len(present)} rows with pixels: {spans_text(present)}"
            yield Fault(dataset.name, got, f"{dataset.fillvalue}, their frames are declared missing")


def _filled(dataset: h5py.Dataset, row: int) -> bool:
    try:
        return bool(np.array_equal(dataset[row], np.broadcast_to(dataset.fillvalue, dataset.shape[1:]), equal_nan=True))
    except OSError:  # what cannot be decoded is found by another rule
        return True


@file_rule("data.sources", _ERROR, "every file that the frames are shown from stands where it is looked for")
def _sources(file: RecordedFile) -> Iterator[Fault]:
    for dataset, name in file.sources:
        if not (file.path.parent / name).is_file():
            yield Fault(dataset.name, f"no file {name} beside it: its frames read as missing", "the file")


@file_rule("data.truncated", _ERROR, "every chunk lies within the file")
def _truncated(file: RecordedFile) -> Iterator[Fault]:
    for dataset in file.frames:
        yield from file.scan(dataset).truncated


@file_rule("data.chunk-size", _ERROR, "a chunk without compression is exactly as long as its shape says")
def _chunk_size(file: RecordedFile) -> Iterator[Fault]:
    for dataset in file.frames:
        yield from file.scan(dataset).wrong_size


@file_rule("data.chunk-header", _ERROR, "the header of a compressed chunk says as many bytes as its shape")
def _chunk_header(file: RecordedFile) -> Iterator[Fault]:
    for dataset in file.frames:
        yield from file.scan(dataset).wrong_header


@file_rule("data.decode", _ERROR, "every stored frame can be decoded (only with --decode)", decode=True)
def _decode(file: RecordedFile) -> Iterator[Fault]:
    for dataset in file.frames:
        rows = np.flatnonzero(file.scan(dataset).per_row)
        for done, row in enumerate(rows):
            file.progress(f"decoding {dataset.name}", done, len(rows))
            if problem := _problem(dataset, int(row)):
                yield Fault(f"{dataset.name} row {row}", problem, "a frame that can be decoded")


def _problem(dataset: h5py.Dataset, row: int) -> str:
    try:
        dataset[row]
    except (OSError, RuntimeError, ValueError) as error:
        return " ".join(str(error).split())
    return ""


DATA_CHECKS: Final[tuple[FileCheck, ...]] = (
    _layout, _chunks, _missing, _sources, _truncated, _chunk_size, _chunk_header, _decode,
)  # fmt: skip
