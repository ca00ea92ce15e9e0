"""The numbers of frames that were asked for stand beside the file, and are its own."""

from collections.abc import Iterator
from typing import Final

import h5py

from stins.findings import Fault, Severity
from stins.numbers import names_of

from ..numbers.sidecar import SERIES_MARK
from ..series.asked import FRAME_NUMBERS, Asked, numbers_file, read_asked
from .data_files import UNREADABLE
from .file_rule import FileCheck, file_rule
from .recorded_file import RecordedFile

__all__ = ["NUMBERS_CHECKS"]


@file_rule(
    "numbers.beside", Severity.WARNING, "numbers that were asked for are there, one of each for each row", ended=True
)
def _beside(file: RecordedFile) -> Iterator[Fault]:
    asked = read_asked(file.h5)
    if asked is None:
        return
    path, expected = numbers_file(file.series_path), f"{', '.join(names_of(asked.request))} of {len(file.numbers)} rows"
    try:
        group = file.h5[FRAME_NUMBERS]
        got = _problem(group, asked, len(file.numbers), own=isinstance(_link(file.h5), h5py.ExternalLink))
    except UNREADABLE as error:
        got = f"{path}, which cannot be read ({error}): it is away, or the recorder is not done with it"
    if got:
        yield Fault(FRAME_NUMBERS, got, expected)


def _link(h5: h5py.File) -> object:
    return h5.get(FRAME_NUMBERS, getlink=True)


def _problem(group: h5py.Group, asked: Asked, rows: int, *, own: bool) -> str:
    """`own`: they stand in a file of numbers, and not in a joined file, which shows those of its parts."""
    if own and group.file.attrs.get(SERIES_MARK) != asked.mark:
        return f"{group.file.filename}, which is of another series"
    lengths = {name: len(group[name]) if name in group else 0 for name in names_of(asked.request)}
    short = [f"{length} of {name}" for name, length in lengths.items() if length != rows]
    return ", ".join(short)


NUMBERS_CHECKS: Final[tuple[FileCheck, ...]] = (_beside,)
