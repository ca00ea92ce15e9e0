"""Progress bars at a prompt: `RE.waiting_hook = ProgressBars()`."""

from typing import Any

from bluesky.utils import ProgressBarManager

__all__ = ["ProgressBars"]


class ProgressBars(ProgressBarManager):
    """Bluesky's; a bar whose wait was broken off goes when the next one comes, and nobody is warned of it."""

    def __call__(self, status_objs_or_none: Any) -> None:
        """What the RunEngine waits for now; None: it waits no more."""
        if self.pbar is not None:
            super().__call__(None)
        if status_objs_or_none is not None:
            super().__call__(status_objs_or_none)
