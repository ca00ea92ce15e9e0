"""The file of numbers beside a series: columns that grow, for others to read along.

/entry/frame_numbers    sum, mean, ..., NAME_sum, ...: one number a row, NaN where there is none
/entry/progress         how many rows have theirs, and of which generation of the series
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np

from stins.numbers import names_of

from ..errors import RecorderError
from ..nexus import now_iso
from ..series.asked import FRAME_NUMBERS, Asked, described
from ..storage import HDF5_ERRORS, change, claim, create_file, glance, open_swmr, repair_open, settle
from ..storage.columns import Column, Numbers

__all__ = ["SERIES_MARK", "Sidecar", "finished_rows"]

#: The attribute of the file that says of which series it is.
SERIES_MARK = "series_mark"
_PROGRESS = "/entry/progress"


class Sidecar:
    """Open for others to read; goes on with what a process that died has left.

    `rows` have their numbers, as of that `generation`. Every method raises what h5py raises when HDF5 or the disk
    fails.

    Raises:
        RecorderError: what stands there is of another series, or somebody else writes it.
    """

    def __init__(self, path: Path, asked: Asked) -> None:
        self._path = path
        self._descriptor = _claimed(path, asked)
        self._file: h5py.File | None = None
        try:
            repair_open(self._descriptor, path)
            self._file = file = open_swmr(path)
            _require_ours(file, path, asked)
            # Also what one has left that was killed before it came to this.
            settle(path)
            self.rows, self.generation = map(int, file[_PROGRESS][()])
            group = file[FRAME_NUMBERS]
            self._columns = {name: Column(group[name], self.rows) for name in names_of(asked.request)}
            file.flush()
        except BaseException:
            self.close()
            raise

    def rewind(self, rows: int, generation: int) -> None:
        """From this row on nothing counts any more."""
        self.rows, self.generation = rows, generation

    def put(self, values: Mapping[str, Numbers]) -> None:
        """The numbers of the rows that follow; others see them when this returns."""
        assert self._file is not None  # noqa: S101  # open until `close`
        for name, column in self._columns.items():
            column.put(self.rows, values[name])
        # Killed between the two, it goes on from fewer rows than there are; the other way round from too many.
        self._file.flush()
        self.rows += len(next(iter(values.values())))
        self._note_progress()

    def finish(self) -> None:
        """Cuts everything to its rows, and closes."""
        assert self._file is not None  # noqa: S101  # open until `close`
        self._note_progress()
        rows, names = self.rows, list(self._columns)
        self._file.close()
        self._file = None

        def cut(file: h5py.File) -> None:
            for name in names:
                file[FRAME_NUMBERS][name].resize((rows,))
            if "end_time" not in file["/entry"]:
                file["/entry/end_time"] = now_iso()

        change(self._descriptor, cut, synced=True)
        self.close()

    def _note_progress(self) -> None:
        assert self._file is not None  # noqa: S101  # open until `close`
        self._file[_PROGRESS][...] = self.rows, self.generation
        self._file.flush()

    def close(self) -> None:
        """Closes it as it is; it may be gone on with. Closing twice does no harm."""
        if self._file is not None:
            with suppress(*HDF5_ERRORS):
                self._file.close()
            self._file = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def finished_rows(path: Path, asked: Asked) -> int | None:
    """How many rows a file of numbers has that is finished; None where it is not, or is not there."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            if file.attrs.get(SERIES_MARK) != asked.mark or "end_time" not in file["/entry"]:
                return None
            return int(file[_PROGRESS][0])
    except HDF5_ERRORS:
        return None


def _claimed(path: Path, asked: Asked) -> int:
    """The descriptor of what stands there; a new file where nothing does."""
    try:
        _look(path, asked)
        return _claim(path)
    except FileNotFoundError:
        return create_file(path, lambda file: _build(file, path, asked))


def _claim(path: Path) -> int:
    try:
        return claim(path)
    except RecorderError as error:
        raise RecorderError(
            f"{path}: the process that computed them before still has it (`fuser {path.name}` says which one); it ends "
            "with its batch, or kill it"
        ) from error


def _look(path: Path, asked: Asked) -> None:
    """Before anything is done to it: another program may have it open, and what is another's is not touched."""
    if path.is_symlink():
        raise RecorderError(
            f"{path}: got a symbolic link, expected a file; move it away, and the numbers will be computed"
        )
    with glance(path) as file:
        if file is not None:
            _require_ours(file, path, asked)


def _require_ours(file: h5py.File, path: Path, asked: Asked) -> None:
    if file.attrs.get(SERIES_MARK) != asked.mark:
        raise RecorderError(f"{path}: it is of another series; move it away, and the numbers will be computed")


def _build(file: h5py.File, path: Path, asked: Asked) -> None:
    file.attrs.update({"NX_class": "NXroot", "default": "entry", "file_name": str(path), SERIES_MARK: asked.mark})
    entry = file.create_group("entry")
    entry.attrs["NX_class"] = "NXentry"
    progress = entry.create_dataset("progress", data=np.zeros(2, "u8"))
    progress.attrs["description"] = "rows that have their numbers; how often rows had been taken again then"
    group = file.create_group(FRAME_NUMBERS)
    group.attrs["NX_class"] = "NXcollection"
    for name, attributes in described(asked.request):
        Column.create(group, name, "<f8", np.nan).dataset.attrs.update(attributes)
