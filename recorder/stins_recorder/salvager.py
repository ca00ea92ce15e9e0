"""Has the files that a writer had to leave salvaged, one after the other, beside the recording."""

import logging
import queue
import threading
from pathlib import Path

from .salvage import Salvaged, run_salvage

__all__ = ["Salvager"]

log = logging.getLogger(__name__)

_MOST_NOTES = 3
_PATIENCE_S = 5.0


class Salvager:
    """A thread with a queue; it begins with the first file. `notes` say what became of the last ones."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._waiting: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.notes: tuple[str, ...] = ()

    def salvage(self, path: str, reason: str) -> None:
        """This file has been let go of; asked for twice, it is done once."""
        if path in self._seen:
            return
        # A name is never given twice, so this grows with the files that failed, which are few.
        self._seen.add(path)
        self._waiting.put((path, reason))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="salvage", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends the thread; a file that takes longer is finished without it. Closing twice does no harm."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        while (job := self._waiting.get()) is not None:
            path, reason = job
            done = run_salvage(Path(path), reason=reason, given_up=True)
            self._said(done)

    def _said(self, done: Salvaged) -> None:
        text = f"{done.path}: {done.found}: {done.text}"
        log.warning("%s", text)
        self.notes = (*self.notes, text)[-_MOST_NOTES:]
