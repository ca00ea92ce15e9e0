"""Where a series goes: its file, the room for the file's end, the journal. What failed is raised, not judged."""

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import UNSET

from stins import OpenSeries
from stins.control import NumbersRequest

from ..errors import StorageError
from ..paths import resolve
from ..segments import refuse_standing
from ..series.asked import refuse_standing_numbers
from ..series.series_file import SeriesFile
from .records import Closing
from .room import Room
from .safekeeping import Safekeeping

__all__ = ["Store"]


class Store:
    """`file` is None where the series has none, or none any more; `unclosed` had to be left as it was, without its end.

    Methods raise `RecorderError` with step, file and remedy.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        room: Room,
        safe: Safekeeping,
        *,
        frames_per_file: int | None,
        watch: Callable[[str], None],
    ) -> None:
        self._roots = roots
        self._room = room
        self._safe = safe
        self._frames_per_file = frames_per_file
        self._watch = watch
        self.file: SeriesFile | None = None
        self.unclosed: Path | None = None

    def place(self, filename: str, *, numbers: bool = False) -> Path:
        """Where a file of that name can be created; asked before a series, also one for the `numbers` of its frames.

        In a series that has begun nothing that stands in the way of its numbers is in that of its frames.

        Raises:
            PathError: it is refused, or something stands in its way.
        """
        path = resolve(self._roots, filename)
        if self._frames_per_file is not None:
            refuse_standing(path)
        if numbers:
            refuse_standing_numbers(path)
        return path

    def open(self, instruction: OpenSeries, numbers: NumbersRequest | None = None) -> None:
        """Creates the file of a series that is to have one; `numbers` of its frames are to stand beside it."""
        start = instruction.start
        self.unclosed, path = None, None
        try:
            if start.recorded and start.series is not UNSET and start.series.filename:
                path = self.place(start.series.filename)
        finally:
            # Whatever comes of it: what the journal says from now on is said of this series.
            self._safe.begin(start, path)
        if path is not None:
            self._room.check(path)
            self._room.hold(path)
            self.file = SeriesFile(
                path,
                start,
                instruction.payload,
                frames_per_file=self._frames_per_file,
                numbers=numbers,
                watch=self._watch,
            )

    def take_over(self, file: SeriesFile | None) -> None:
        """Goes on with a file."""
        self.file = file
        if file is not None:
            self._room.hold(file.path)

    def written(self, size_bytes: int) -> None:
        """So many bytes more are in the file: is there room for others?"""
        if self.file is not None:
            self._room.written(self.file.path, size_bytes)

    def flush(self) -> None:
        """Flushes the file, if there is one."""
        if self.file is not None:
            self.file.flush()

    def sync(self) -> None:
        """Begins to force to the disk what is flushed, and then the journal's word of it."""
        if self.file is not None:
            self.file.sync_begin(self._safe.descriptors)

    def take(self) -> SeriesFile | None:
        """The file, which is no longer the store's; the room for its end is free now."""
        file, self.file = self.file, None
        self._room.release()
        return file

    def suspend(self) -> None:
        """Closes the file for everybody to read; it may be gone on with."""
        if self.file is not None:
            try:
                self.file.suspend()
            except StorageError:
                self.leave(self.file.path)
                self.file = None
                raise

    def abandon(self, file: SeriesFile) -> None:
        """Lets go of a file that was taken, as it is."""
        self.leave(file.path)
        file.abandon()

    def leave(self, path: Path, last: Closing | None = None) -> None:
        """The file stays without its end; the supervisor has it salvaged. `last`: what its end is to say."""
        self.unclosed = path
        self._safe.set_aside(last)
