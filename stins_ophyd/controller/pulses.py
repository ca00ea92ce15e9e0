"""Pulses of a cable that come between two kickoffs: their frames would be counted as those of the next one."""

import time
from collections.abc import Mapping
from typing import Any

from stins.control import AcquirerStatus
from stins.words import how_many

from .awaited import Awaited
from .goal import SeriesProblem
from .remedies import Cause, Debt
from .snapshot import Snapshot

__all__ = ["refuse_strays", "until_quiet"]

#: From the end of an exposure until the acquirer says that it has sent the frame.
_ON_ITS_WAY_S = 0.2


def refuse_strays(acquirer: AcquirerStatus, first: int) -> None:
    """Raises `SeriesProblem` where frames from `first` on were taken before anybody asked for them."""
    if (sent := acquirer.frames_sent) > first:
        problem = f"pulses took {how_many(sent - first, 'frame')}, from frame {first} on, before this kickoff"
        raise SeriesProblem("acquirer", problem, Cause.STRAY_PULSE, "none")


def until_quiet(acquirer: AcquirerStatus, first: int) -> Awaited:
    """A frame whose pulse came just now would have been sent: so long as an exposure and the way takes."""
    quiet_s = _exposure_s(acquirer.settings) + _ON_ITS_WAY_S
    over = time.monotonic() + quiet_s

    def done(now: Snapshot) -> bool:
        if now.acquirer is not None:
            refuse_strays(now.acquirer, first)
        return time.monotonic() >= over

    return Awaited(
        step="kickoff",
        done=done,
        owed=lambda _: Debt("acquirer", "it was not quiet", Cause.STRAY_PULSE),
        # Just then, and done: it was asked for later than `over` was reckoned.
        timeout_s=quiet_s,
    )


def _exposure_s(settings: Mapping[str, Any]) -> float:
    """From a pulse to the end of its exposure; one that lasts as long as its pulse may be longer."""
    names = [name for name in settings if name == "exposure_s" or name.endswith("delay_s")]
    return float(sum(settings[name] for name in names if isinstance(settings[name], int | float)))
