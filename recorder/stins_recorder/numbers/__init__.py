"""Numbers of each frame (sum, mean, ...), computed in a process of its own and kept in a file beside the series.

By its `NumbersKeeper` the supervisor starts the process, tells it how far the series is, and hears how far its numbers
are. The writer makes a link to that file when it makes that of the series, and has nothing more to do with them.
Decision: docs/explanations/decisions/0022-numbers-beside-the-frames.md.
"""

from ..series.asked import refuse_standing_numbers, write_asked
from .keeper import NumbersKeeper

__all__ = ["NumbersKeeper", "refuse_standing_numbers", "write_asked"]
