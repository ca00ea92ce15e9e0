"""What was flushed is forced to the disk by a thread of its own: a second may go by, and no frame waits for it."""

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["Syncer", "sync_folder"]

_LIMIT_S = 600.0


class Syncer:
    """Forces files to the disk, one request at a time. What fails is raised by the next `begin`.

    `durable` is the number that came with the last request that has ended.
    """

    def __init__(self, folder: Path, watch: Callable[[str], None] = lambda _step: None) -> None:
        self._folder = folder
        self._watch = watch  # is told "sync" before, and "synced" after
        # The files whose names are on the disk.
        self._named: set[int] = set()
        self._work = threading.Condition()
        self._request: tuple[list[int], int] | None = None
        self._error: OSError | None = None
        self._ended = False
        self._thread: threading.Thread | None = None
        self.durable = 0

    def begin(self, descriptors: Sequence[int], number: int) -> None:
        """Begins, unless it is still busy.

        Raises:
            OSError: the last one failed: what had been written since the one before may be lost.
        """
        if self._error is not None:
            raise self._error
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="sync", daemon=True)
            self._thread.start()
        with self._work:
            if self._request is None and number != self.durable:
                # Copies: the originals may be closed meanwhile.
                self._request = [os.dup(descriptor) for descriptor in descriptors], number
                self._work.notify()

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
                if self._request is None:
                    return
                descriptors, number = self._request
            self._watch("sync")
            try:
                for descriptor in descriptors:
                    os.fdatasync(descriptor)
                self._sync_names({os.fstat(descriptor).st_ino for descriptor in descriptors})
                self.durable = number
            except OSError as error:
                self._error = error
            self._watch("synced")
            for descriptor in descriptors:
                os.close(descriptor)
            with self._work:
                self._request = None

    def _sync_names(self, files: set[int]) -> None:
        """The names of the files too, once."""
        if not files <= self._named:
            sync_folder(self._folder)
            self._named |= files


def sync_folder(folder: Path) -> None:
    """Forces the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
