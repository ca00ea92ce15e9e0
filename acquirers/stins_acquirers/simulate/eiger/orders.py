"""What the detector orders of its readout."""

import threading

import msgspec

from .keys import Value
from .series import Series

__all__ = ["Abort", "Begin", "Cancel", "ClearStream", "End", "Expose", "Exposure", "Order", "Reset", "Stop"]


class Exposure:
    """The images of one trigger, times in ns on the monotonic clock.

    `done` is set when the last of them is taken, or will not be taken any more.
    """

    def __init__(
        self,
        *,
        images: int,
        start_ns: int,
        period_ns: int,
        count_ns: int,
        real_ns: int | None = None,
        appendix: Value = "",
    ) -> None:
        self.images = images
        self.start_ns = start_ns
        self.period_ns = period_ns
        self.count_ns = count_ns
        self.real_ns = count_ns if real_ns is None else real_ns
        self.appendix = appendix
        self.taken = 0
        self.done = threading.Event()

    @property
    def due_ns(self) -> int:
        """When the next image's exposure ends."""
        return self.start_ns + self.taken * self.period_ns + self.count_ns

    @property
    def end_ns(self) -> int:
        """When the last image's exposure ends."""
        return self.start_ns + (self.images - 1) * self.period_ns + self.count_ns


class Begin(msgspec.Struct, frozen=True):
    """A series is armed: its start is sent, `done` is set."""

    series: Series
    done: threading.Event


class Expose(msgspec.Struct, frozen=True):
    """A trigger came."""

    exposure: Exposure


class Cancel(msgspec.Struct, frozen=True):
    """The image that is being exposed is the last one."""


class Abort(msgspec.Struct, frozen=True):
    """No further image; with `drop`, none of those that wait for a client either."""

    drop: bool
    done: threading.Event


class ClearStream(msgspec.Struct, frozen=True):
    """What waits for a client is thrown away, and nothing of the series that runs is sent any more."""


class End(msgspec.Struct, frozen=True):
    """The end of the series is sent, `done` is set."""

    done: threading.Event


class Reset(msgspec.Struct, frozen=True):
    """The series is forgotten, all connections are broken, what waits for a client is lost."""

    done: threading.Event


class Stop(msgspec.Struct, frozen=True):
    """The loop ends."""


Order = Begin | Expose | Cancel | Abort | ClearStream | End | Reset | Stop
