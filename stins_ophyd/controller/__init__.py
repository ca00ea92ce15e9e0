"""The controller: one acquirer and one recorder driven as one detector. Plain Python, no framework."""

from .controller import Controller
from .deadlines import Deadlines, deadlines_of
from .errors import ControllerError, FramesLostError
from .goal import Goal
from .rate import Rate
from .snapshot import Snapshot
from .states import COMBINED, CombinedState
from .summary import Summary, summarize

__all__ = [
    "COMBINED",
    "CombinedState",
    "Controller",
    "ControllerError",
    "Deadlines",
    "FramesLostError",
    "Goal",
    "Rate",
    "Snapshot",
    "Summary",
    "deadlines_of",
    "summarize",
]
