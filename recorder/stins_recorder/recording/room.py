"""Room on the disk: looked at before a series and during it, and a reserve that is given back when a file is closed."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import StorageError, storage_error
from ..watchdog import unwatched
from .journal import FOLDER

__all__ = ["HELD", "Room"]

#: ROOT/.stins/NAME.reserve: beside the journal of the recorder.
HELD = ".reserve"

#: What the end of a file takes: the rest of its columns, the account and the list of missing frames.
_HELD_BYTES = 4 << 20
#: From so many on they are told in GB.
_MANY_BYTES = 10**10


class Room:
    """The room below some roots; `reserve_bytes` of it are left free by every series."""

    def __init__(
        self, roots: Sequence[Path], reserve_bytes: int, name: str, watch: Callable[[str], None] = unwatched
    ) -> None:
        self._roots = roots
        self._watch = watch
        self._reserve_bytes = reserve_bytes
        self._name = name
        self._held: Path | None = None
        self._since_check = 0

    def free_bytes(self, folder: Path | None = None) -> int:
        """Room on the file system of a folder (default: the first root).

        Raises:
            StorageError: the file system does not say.
        """
        folder = folder or self._roots[0]
        try:
            with self._step():
                while not folder.exists() and folder != folder.parent:
                    folder = folder.parent
                stat = os.statvfs(folder)
        except OSError as error:
            raise storage_error("statvfs", folder, error) from error
        return stat.f_bavail * stat.f_frsize

    def check(self, path: Path, needed: int = 0) -> None:
        """Whether a file of that size fits.

        Raises:
            StorageError: not without the reserve.
        """
        self._since_check = 0
        free = self.free_bytes(path.parent)
        if free < needed + self._reserve_bytes:
            series = f"{_amount(needed)} for the series and " if needed else ""
            raise StorageError(
                f"{path}: too little room on the disk: {_amount(free)} free, expected {series}"
                f"{_amount(self._reserve_bytes)} that every series leaves free (reserve_bytes); "
                f"free {_amount(needed + self._reserve_bytes - free)} or more, or record below another root"
            )

    def written(self, path: Path, size_bytes: int) -> None:
        """So many bytes more went to this file; every quarter of the reserve is the time to look again.

        Raises:
            StorageError: the series would use the reserve up.
        """
        self._since_check += size_bytes
        if self._since_check > self._reserve_bytes // 4:
            self.check(path)

    def hold(self, path: Path) -> None:
        """Takes the room that closing this file will need, so that nobody else can; `release` gives it back.

        Raises:
            StorageError: there is not even that.
        """
        self.release()
        root = next((root for root in self._roots if path.is_relative_to(root)), path.parent)
        held = root / FOLDER / f"{self._name}{HELD}"
        try:
            with self._step():
                held.parent.mkdir(exist_ok=True)
                with held.open("wb") as file:
                    self._held = held
                    os.posix_fallocate(file.fileno(), 0, _HELD_BYTES)
        except OSError as error:
            self.release()
            raise storage_error("reserve", path, error) from error

    def release(self) -> None:
        """Gives the room back. Doing it twice does no harm."""
        held, self._held = self._held, None
        if held is not None:
            with self._step(), suppress(OSError):
                # The folder stays: another recorder may be about to take room in it.
                held.unlink()

    @contextmanager
    def _step(self) -> Iterator[None]:
        """A file system that is not there any more hangs in each of these calls."""
        self._watch("room")
        try:
            yield
        finally:
            self._watch("")


def _amount(size_bytes: int) -> str:
    """For a person; rounded up, so that what is to be made free is enough, and never nothing."""
    unit, name = (10**8, "GB") if size_bytes >= _MANY_BYTES else (10**5, "MB")
    return f"{-(-size_bytes // unit) / 10:,.1f} {name}"
