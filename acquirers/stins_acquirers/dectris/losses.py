"""What of a series did not come, and how its end says so. No I/O."""

from collections.abc import Callable

import msgspec

from ..backend import Ending
from .numbering import Numbering, Spans

__all__ = ["Conclusion", "Losses", "conclude"]


class Losses:
    """Counts what the numbers of the images leave out; `declared` are frames that no message has named yet."""

    def __init__(self) -> None:
        self.images = 0
        self.declared: Spans = ()

    def add(self, frames: Spans, images: int) -> None:
        """Frames that are not waited for any longer."""
        self.images += images
        self.declared += frames

    def take(self) -> Spans:
        """The frames that the next message names."""
        declared, self.declared = self.declared, ()
        return declared


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """How a series came to its end.

    `expected` images, None where nobody knows or it was ended on request; `end_came`: the detector's own message.
    """

    expected: int | None
    end_came: bool


def conclude(numbering: Numbering, losses: Losses, conclusion: Conclusion, dropped: Callable[[], int]) -> Ending:
    """The end of a series; `dropped` asks the DCU how many images its stream has dropped, where it matters."""
    expected, got = conclusion.expected, numbering.next_image
    short = expected is not None and got < expected
    if not short and not losses.images and expected is not None:
        return Ending()
    told = dropped()
    # More than the gaps account for: they were taken behind the last one that came.
    behind = max(0, told - losses.images)
    if expected is not None:
        behind = min(behind, max(0, expected - got))
    losses.add(numbering.lose_up_to(got + behind), behind)
    reasons = []
    if losses.images:
        says = f"the DCU's stream says that it dropped {told}" if told else "the DCU's stream says that it dropped none"
        reasons.append(
            f"{losses.images} images did not come ({says}): nobody took them in time, or another receiver did"
        )
    if expected is not None and got + behind < expected:
        how = "ended the series" if conclusion.end_came else "has left the series"
        reasons.append(f"the detector {how} after {got + behind} of {expected} images; somebody ended it there?")
    if not reasons:
        return Ending()
    return Ending(status="failed", reason="; ".join(reasons), frames_dropped=losses.take())
