"""What of a series did not come, and how its end says so. No I/O."""

from collections.abc import Callable

import msgspec

from ..backend import Ending
from .numbering import Numbering, Spans

__all__ = ["Conclusion", "Losses", "conclude", "why"]


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

    `expected` images, None where it was to go on until it is disarmed; `on_request`: it was; `end_came`: the
    detector's own message.
    """

    expected: int | None
    on_request: bool
    end_came: bool

    def early(self, images: int) -> str:
        """Why it has no more images than these, where it should have; nothing where all is well."""
        if self.on_request or (self.expected is not None and images >= self.expected):
            return ""
        of = "" if self.expected is None else f" of {self.expected}"
        how = "ended the series" if self.end_came else "has left the series"
        return f"the detector {how} after {images}{of} images; somebody ended it there?"


def conclude(numbering: Numbering, losses: Losses, conclusion: Conclusion, dropped: Callable[[], int]) -> Ending:
    """The end of a series; `dropped` asks the DCU how many images its stream has dropped, where it matters."""
    got, all_known = numbering.next_image, conclusion.expected is not None and not conclusion.on_request
    if all_known and not losses.images and not conclusion.early(got):
        return Ending()
    told = dropped()
    # More than the gaps account for: they were taken behind the last one that came.
    behind = max(0, told - losses.images)
    if conclusion.expected is not None:
        behind = min(behind, max(0, conclusion.expected - got))
    losses.add(numbering.lose_up_to(got + behind), behind)
    reasons = []
    if losses.images:
        reasons.append(why(losses.images, told))
    reasons += [early] if (early := conclusion.early(got + behind)) else []
    if not reasons:
        return Ending()
    return Ending(status="failed", reason="; ".join(reasons), frames_dropped=losses.take())


def why(lost: int, told: int) -> str:
    """Why `lost` images did not come, where the DCU says that it dropped `told`.

    Each message goes to one receiver only: what the detector has sent, and we have not, went to another one.
    """
    reason = "nobody took them in time" if told else "does another receiver take messages from this stream, too?"
    if 0 < told < lost:
        reason += ", or another receiver did"
    return f"{lost} images did not come (the DCU's stream says that it dropped {told or 'none'}): {reason}"
