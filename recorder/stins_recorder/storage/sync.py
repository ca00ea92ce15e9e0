"""What was flushed is forced to the disk by a thread of its own: a second may go by, and no frame waits for it."""

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

__all__ = ["Syncer", "sync_folder"]

_LIMIT_S = 600.0


class _Request(msgspec.Struct, frozen=True):
    """Copies of descriptors, for the originals may be closed meanwhile; `change` and `number` as in `begin`."""

    files: list[int]
    also: list[int]
    number: int
    change: int


class Syncer:
    """Forces files to the disk, one request at a time. What fails is raised by the next `begin`, or by `finish`.

    `durable` is the number that came with the last request that has ended, or less, where that was taken back.
    """

    def __init__(self, folder: Path, watch: Callable[[str], None] = lambda _step: None) -> None:
        self._folder = folder
        self._watch = watch  # is told "sync" before, and "synced" after
        # The files whose names are on the disk.
        self._named: set[int] = set()
        self._work = threading.Condition()
        self._request: _Request | None = None
        self._change = 0
        self._taken_back = False
        self._error: OSError | None = None
        self._ended = False
        self._thread: threading.Thread | None = None
        self.durable = 0

    def begin(self, descriptors: Sequence[int], number: int, change: int, *, also: Sequence[int] = ()) -> None:
        """Begins, unless it is still busy, or has forced this change to the disk already.

        `also` come after the others, and may fail: `number` does not speak of them.

        Raises:
            OSError: the last one failed: what had been written since the one before may be lost.
        """
        self._complain()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="sync", daemon=True)
            self._thread.start()
        with self._work:
            if self._request is None and change != self._change:
                self._request = _Request([os.dup(d) for d in descriptors], [os.dup(d) for d in also], number, change)
                self._taken_back = False
                self._work.notify()

    def take_back(self, number: int) -> None:
        """No more than that counts from now on, of what is on the disk or on its way there."""
        with self._work:
            self.durable = min(self.durable, number)
            self._taken_back = True

    def finish(self) -> None:
        """Ends it, after what it is doing.

        Raises:
            OSError: what was done last has failed, and nobody was told: the kernel will not say it again.
        """
        self.close()
        self._complain()

    def _complain(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def close(self) -> None:
        """Ends the thread, after what it is doing. Closing twice does no harm."""
        with self._work:
            self._ended = True
            self._work.notify()
        if self._thread is not None:
            self._thread.join(_LIMIT_S)
            self._thread = None

    def _run(self) -> None:
        while True:
            with self._work:
                self._work.wait_for(lambda: self._request is not None or self._ended)
                request = self._request
            if request is None:
                return
            self._watch("sync")
            error: OSError | None = None
            try:
                for descriptor in request.files:
                    os.fdatasync(descriptor)
                self._sync_names({os.fstat(descriptor).st_ino for descriptor in request.files})
                for descriptor in request.also:
                    with suppress(OSError):
                        os.fdatasync(descriptor)
            except OSError as problem:
                error = problem
            self._watch("synced")
            # A file system may tell only now of what it could not write.
            error = _close(request.files) or error
            _close(request.also)
            with self._work:
                self._request, self._error = None, error or self._error
                if error is None:
                    self._change = request.change
                    # What was taken back meanwhile may be part of it: the next one knows.
                    self.durable = self.durable if self._taken_back else request.number

    def _sync_names(self, files: set[int]) -> None:
        """The names of the files too, once."""
        if not files <= self._named:
            sync_folder(self._folder)
            self._named |= files


def _close(descriptors: Sequence[int]) -> OSError | None:
    """Closes them all; what went wrong."""
    error = None
    for descriptor in descriptors:
        try:
            os.close(descriptor)
        except OSError as problem:
            error = problem
    return error


def sync_folder(folder: Path) -> None:
    """Forces the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
