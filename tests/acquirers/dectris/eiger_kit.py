"""What the tests of the EIGER backend share: series taken to their end, with a deadline."""

import time

from stins_acquirers.backend import Ending, Frame
from stins_acquirers.dectris import EigerBackend

__all__ = ["DEADLINE_S", "numbers", "read", "rest", "until_over"]

DEADLINE_S = 30.0


def numbers(frames: list[Frame]) -> list[int]:
    """Their numbers."""
    return [frame.number for frame in frames]


def read(backend: EigerBackend, count: int) -> list[Frame]:
    """So many frames."""
    frames: list[Frame] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(frames) < count:
        assert time.monotonic() < deadline, f"got {numbers(frames)}, expected {count} frames"
        frames += backend.read(0.05)
    return frames


def rest(backend: EigerBackend) -> list[Frame]:
    """What is left once it was disarmed; one `read` may give a part of it only."""
    frames: list[Frame] = []
    deadline = time.monotonic() + DEADLINE_S
    while some := backend.read(0.0):
        assert time.monotonic() < deadline, f"got {numbers(frames)} and no end"
        frames += some
    return frames


def until_over(backend: EigerBackend) -> tuple[list[Frame], Ending]:
    """The rest of the series, and its end."""
    frames: list[Frame] = []
    deadline = time.monotonic() + DEADLINE_S
    while (ending := backend.ending()) is None:
        assert time.monotonic() < deadline, f"got {numbers(frames)} and no end"
        frames += backend.read(0.05)
    return frames, ending
