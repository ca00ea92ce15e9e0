"""How a staging is ended once its plan is over, and which of two failures is seen."""

import asyncio
import logging

from stins import StinsError

from .naming import named
from .staging import Staging, Step
from .status import Worker

__all__ = ["end_staging"]

log = logging.getLogger(__name__)


def end_staging(device: str, staging: Staging, worker: Worker, *, paused: bool) -> None:
    """Ends the series, aborted if something was under way or `paused`, and waits until its file is closed.

    What is in the way is raised, unless the series has failed before: that is the first cause, and seen last.
    """
    failed = staging.step is Step.ENDED
    try:
        with named(device, "unstage"):
            staging.end(aborted=paused or worker.busy, why="unstaged while it was under way")
            worker.join()
        if not _in_a_loop():
            # No RunEngine cleans up here, so somebody may wait for that Status at a prompt.
            worker.settle()
    except StinsError as error:
        if not failed:
            raise
        log.warning("%s", error)


def _in_a_loop() -> bool:
    """Whether the caller is an event loop's, as the RunEngine is."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
