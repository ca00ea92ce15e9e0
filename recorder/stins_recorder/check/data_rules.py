"""The stored frames: every chunk is there, is whole, and is what its description says."""

from collections.abc import Iterator
from typing import Any, Final

import h5py
import hdf5plugin  # noqa: F401  # registers the filters that decoding needs
import numpy as np

from stins.findings import Fault, Severity

from ..layout import FILTERS
from .data_files import DataFile, StoredFrames, shown_rows
from .file_rule import FileCheck, file_rule
from .recorded_file import FRAMES_PER_FILE, RecordedFile, spans_text

__all__ = ["DATA_CHECKS"]

_ERROR = Severity.ERROR


@file_rule("data.layout", _ERROR, "a chunk holds one frame (or part of one), with no filter, bslz4 or lz4")
def _layout(file: RecordedFile) -> Iterator[Fault]:
    for stored in _stored(file):
        if stored.chunks[0] != 1:
            yield Fault(stored.where, f"chunks {list(stored.chunks)}", "1 along the first axis")
        if stored.filter not in FILTERS.values():
            yield Fault(stored.where, f"filter {stored.filter}", "none, or one of 32008 (bslz4) and 32004 (lz4)")


def _stored(file: RecordedFile) -> Iterator[StoredFrames]:
    """The frames, wherever they are stored."""
    for dataset in file.frames:
        yield from file.stored(dataset)


@file_rule("data.chunks", _ERROR, "every frame that is not declared missing is stored, with all its chunks", ended=True)
def _chunks(file: RecordedFile) -> Iterator[Fault]:
    for dataset in file.frames:
        excused = _excused(file, file.per_row(dataset))
        for stored in file.stored(dataset):
            yield from _chunks_absent(stored, _missing_in(file, stored), excused=excused)


def _chunks_absent(stored: StoredFrames, missing: "np.ndarray[Any, Any]", *, excused: bool) -> Iterator[Fault]:
    scan = stored.scan
    partial = np.flatnonzero((scan.per_row > 0) & (scan.per_row != scan.whole) & ~missing)
    if len(partial):
        got = f"{len(partial)} rows with some of their chunks: {spans_text(partial)}"
        yield Fault(stored.where, got, f"{scan.whole} chunks in each")
    absent = np.flatnonzero((scan.per_row == 0) & ~missing)
    if len(absent) and not excused:
        got = f"{len(absent)} rows without a chunk: {spans_text(absent)}"
        yield Fault(stored.where, got, "a chunk in each, or its frame in missing_frames")


def _missing_in(file: RecordedFile, stored: StoredFrames) -> "np.ndarray[Any, Any]":
    """Which of its rows have a frame that is declared missing."""
    declared: np.ndarray[Any, Any] = file.declared_missing[stored.first : stored.first + len(stored.scan.per_row)]
    return declared


def _excused(file: RecordedFile, per_row: "np.ndarray[Any, Any]") -> bool:
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
        for stored in file.stored(dataset):
            rows = np.flatnonzero((stored.scan.per_row > 0) & _missing_in(file, stored))
            # As it is shown: a data file may hold what is not.
            present = np.array([row for row in rows if not _filled(dataset, stored.first + int(row))], np.intp)
            if len(present):
                got = f"{len(present)} rows with pixels: {spans_text(present)}"
                yield Fault(stored.where, got, f"{dataset.fillvalue}, their frames are declared missing")


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


@file_rule("data.files", _ERROR, "each data file is there, of this series, closed, and as long as the series shows it")
def _files(file: RecordedFile) -> Iterator[Fault]:
    if FRAMES_PER_FILE in file.h5 and file.segments is None:
        yield Fault(FRAMES_PER_FILE, "something else", "a number of at least 1, with the mark of the series in @mark")
    excused = any(_excused(file, file.per_row(dataset)) for dataset in file.frames)
    for found in file.data_files:
        yield from found.faults
        if found.length is not None and found.length < found.wanted and not excused:
            yield from _too_short(file, found, found.length)


def _too_short(file: RecordedFile, found: DataFile, length: int) -> Iterator[Fault]:
    lacking = found.first + np.arange(length, found.wanted)
    lacking = lacking[~file.declared_missing[lacking]]
    if not file.ended:
        lacking = lacking[lacking > 0]  # while the series runs, a missing first frame has the number 0 too
    if len(lacking):
        got = f"{length} rows" if length or found.path.is_file() else "no such file"
        expected = f"the rows of the series up to {lacking[-1]}: {spans_text(lacking)} read as missing"
        yield Fault(found.path.name, got, expected)


@file_rule("data.shown", _ERROR, "each frame is shown from its row of its data file", ended=True)
def _shown(file: RecordedFile) -> Iterator[Fault]:
    if (segments := file.segments) is None:
        return
    for dataset in file.frames:
        shown = shown_rows(dataset, segments, file.series_path, len(file.numbers))
        hidden = np.flatnonzero(~shown & ~file.declared_missing)
        if len(hidden) and not _excused(file, file.per_row(dataset)):
            got = f"{len(hidden)} rows from elsewhere, or from nowhere: {spans_text(hidden)}"
            yield Fault(dataset.name, got, "each from its row of its data file")


@file_rule("data.truncated", _ERROR, "every chunk lies within the file")
def _truncated(file: RecordedFile) -> Iterator[Fault]:
    for stored in _stored(file):
        yield from stored.scan.truncated


@file_rule("data.chunk-size", _ERROR, "a chunk without compression is exactly as long as its shape says")
def _chunk_size(file: RecordedFile) -> Iterator[Fault]:
    for stored in _stored(file):
        yield from stored.scan.wrong_size


@file_rule("data.chunk-header", _ERROR, "the header of a compressed chunk says as many bytes as its shape")
def _chunk_header(file: RecordedFile) -> Iterator[Fault]:
    for stored in _stored(file):
        yield from stored.scan.wrong_header


@file_rule("data.decode", _ERROR, "every stored frame can be decoded (only with --decode)", decode=True)
def _decode(file: RecordedFile) -> Iterator[Fault]:
    for stored in _stored(file):
        rows = np.flatnonzero(stored.scan.per_row)
        with file.opened(stored) as dataset:
            for done, row in enumerate(rows):
                file.progress(f"decoding {stored.where}", done, len(rows))
                if problem := _problem(dataset, int(row)):
                    yield Fault(f"{stored.where} row {row}", problem, "a frame that can be decoded")


def _problem(dataset: h5py.Dataset, row: int) -> str:
    try:
        dataset[row]
    except (OSError, RuntimeError, ValueError) as error:
        return " ".join(str(error).split())
    return ""


DATA_CHECKS: Final[tuple[FileCheck, ...]] = (
    _layout, _chunks, _missing, _sources, _files, _shown, _truncated, _chunk_size, _chunk_header, _decode,
)  # fmt: skip
