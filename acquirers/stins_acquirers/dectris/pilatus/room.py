"""Looks now and then how full the folder is, and keeps it within its bounds."""

import time
from typing import Final

from .folder import ImageFolder, Run
from .settings import PilatusSettings

__all__ = ["RoomWatch"]

#: A look costs 5 us for each image that is there.
_EVERY_S: Final = 1.0


class RoomWatch:
    """`free` is how many bytes there were at the last look."""

    def __init__(self, folder: ImageFolder, settings: PilatusSettings) -> None:
        self._folder = folder
        self._reserve = settings.folder_reserve_bytes
        self._limit = settings.folder_limit_bytes
        self._seen = 0.0
        self.free = 0

    def look(self, run: Run | None = None) -> None:
        """Leftovers make room for the present run; raises `HardwareError` if that is not enough."""
        self._seen = time.monotonic()
        self.free = self._folder.make_room(self._reserve, self._limit, run).free

    def look_again(self, run: Run) -> None:
        """The same, if the last look is some time ago."""
        if time.monotonic() - self._seen > _EVERY_S:
            self.look(run)
