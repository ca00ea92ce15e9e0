"""Has the files that a writer had to leave salvaged, one after the other, beside the recording."""

import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path

from ..salvage import Salvaged, files_left, run_salvage

__all__ = ["Salvager"]

log = logging.getLogger(__name__)

_MOST_NOTES = 3
_PATIENCE_S = 5.0
#: How often what could not be done is tried again: somebody may have made room meanwhile.
_AGAIN_S = 20.0


class Salvager:
    """A thread with a queue; it begins with the first file. `notes` say what became of the last ones.

    What cannot be done yet, on a disk that is full or does not answer, is kept, to be tried again.
    """

    def __init__(self, run: Callable[..., Salvaged] = run_salvage, *, again_s: float = _AGAIN_S) -> None:
        self._run = run
        self._again_s = again_s
        self._seen: set[str] = set()
        self._waiting: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._left: dict[str, str] = {}  # files that could not be salvaged, and why they had been left
        self._said: dict[str, str] = {}
        self._thread: threading.Thread | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """One line a file."""
        return tuple(self._said.values())[-_MOST_NOTES:]

    def salvage(self, path: str, reason: str) -> None:
        """This file has been let go of; asked for twice, it is done once."""
        if path in self._seen:
            return
        # A name is never given twice, so this grows with the files that failed, which are few.
        self._seen.add(path)
        self._put(path, reason)

    def look(self, root: Path, name: str) -> None:
        """Those that a recorder of that name, which is gone, had to leave below its first root, and did not get to."""
        for path in files_left(root, name):
            self.salvage(str(path), "its recorder had to leave it")

    def again(self) -> None:
        """What stood in the way may be gone: those that could not be salvaged have their turn once more."""
        for path in list(self._left):
            self._put(path, self._left.pop(path))

    def _put(self, path: str, reason: str) -> None:
        self._waiting.put((path, reason))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="salvage", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends the thread; a file that takes longer is finished without it. Closing twice does no harm."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(_PATIENCE_S)

    def _work(self) -> None:
        while True:
            try:
                job = self._waiting.get(timeout=self._again_s if self._left else None)
            except queue.Empty:
                self.again()
                continue
            if job is None:
                return
            self._salvage(*job)

    def _salvage(self, path: str, reason: str) -> None:
        done = self._run(Path(path), reason=reason, given_up=True)
        if done.found not in ("whole", "salvaged"):
            self._left[path] = reason
        text = f"{done.path}: {done.found}: {done.text}"
        if self._said.get(path) != text:
            log.warning("%s", text)
        # The last word on a file; it comes last.
        self._said = {key: said for key, said in self._said.items() if key != path} | {path: text}
