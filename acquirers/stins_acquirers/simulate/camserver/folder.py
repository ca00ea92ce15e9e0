"""The folder in which images appear: whole ones only, and as many as find room."""

import errno
import os
from contextlib import suppress
from pathlib import Path

__all__ = ["Folder"]


class Folder:
    """`path` is below `root`, whoever asks for what."""

    def __init__(self, root: Path, most_bytes: int | None) -> None:
        root.mkdir(exist_ok=True)
        self.root = root.resolve()
        self._most_bytes = most_bytes

    def below(self, base: Path, text: str) -> Path | None:
        """The path that a client means; None where it leads out of the root."""
        path = (base / text).resolve()
        return path if path == self.root or self.root in path.parents else None

    def write(self, path: Path, content: bytes) -> None:
        """Writes under another name, then renames: nobody ever sees half of an image.

        Raises:
            OSError: there is no room for it.
        """
        if self._most_bytes is not None and self.used_bytes() + len(content) > self._most_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        unfinished = path.with_name(f".{path.name}.part")
        try:
            unfinished.write_bytes(content)
            unfinished.replace(path)
        except OSError:
            with suppress(OSError):
                unfinished.unlink()
            raise

    def used_bytes(self) -> int:
        """What its images take; one that is being deleted may count or not."""
        total = 0
        for path in self.root.rglob("*.cbf"):
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def free_bytes(self) -> int:
        """What finds room."""
        if self._most_bytes is not None:
            return max(0, self._most_bytes - self.used_bytes())
        usage = os.statvfs(self.root)
        return usage.f_bavail * usage.f_frsize
