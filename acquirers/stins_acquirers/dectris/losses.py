"""What of a series did not come, and how its end says so. No I/O."""

from collections.abc import Callable
from typing import Final

import msgspec

from ..backend import Ending
from .numbering import Numbering, Spans

__all__ = ["Conclusion", "Losses", "Told", "conclude", "why"]

_UNSAID: Final = "the DCU does not say how many its stream has dropped"


class Told(msgspec.Struct, frozen=True):
    """How many images of the series the DCU says that its stream has dropped.

    `late`: it was not heard since the matter came up; there may be more by now, and none is no answer.
    """

    images: int = 0
    late: bool = False


class Losses:
    """Counts what the numbers of the images leave out; `declared` are frames that no message has named yet.

    `why` is as far as the DCU's word reaches: "" where it has said nothing since some were lost.
    """

    def __init__(self) -> None:
        self.images = 0
        self.declared: Spans = ()
        self.why = ""
        #: When the first was noticed of those that the DCU has said nothing of, and how many were lost then.
        self._unexplained: tuple[float, int] | None = None
        self._noticed = 0.0

    def add(self, frames: Spans, images: int, noticed: float) -> None:
        """Frames that are not waited for any longer; what the DCU says from `noticed` on is about them, too."""
        self.images += images
        self.declared += frames
        self._noticed = noticed
        if self._unexplained is None and images:
            self._unexplained = noticed, self.images

    def take(self) -> Spans:
        """The frames that the next message names."""
        declared, self.declared = self.declared, ()
        return declared

    @property
    def explained(self) -> bool:
        """Whether `why` is about all of them."""
        return self._unexplained is None

    def explain(self, told: Callable[[float], Told]) -> None:
        """Looks whether the DCU has said something; `told` is what it has said, late if that was before this time.

        While ever more are lost, what it says can't be about the last of them.
        """
        if self._unexplained is None:
            return
        (noticed, lost), latest = self._unexplained, told(self._noticed)
        if latest.late:
            latest = told(noticed)
            lost = min(self.images, max(lost, latest.images))
        else:
            lost = self.images
        if not latest.late or latest.images >= lost:
            self.why = why(lost, latest)
            self._unexplained = None if lost == self.images else (self._noticed, self.images)

    def settle(self, told: Told) -> None:
        """Nothing more is lost, and nothing more is asked."""
        self.why, self._unexplained = why(self.images, told) if self.images else "", None


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


def conclude(numbering: Numbering, losses: Losses, conclusion: Conclusion, dropped: Callable[[], Told]) -> Ending:
    """The end of a series; `dropped` asks the DCU how many images its stream has dropped, where it matters."""
    got, all_known = numbering.next_image, conclusion.expected is not None and not conclusion.on_request
    if all_known and not losses.images and not conclusion.early(got):
        return Ending()
    told = dropped()
    # More than the gaps account for: they were taken behind the last one that came.
    behind = max(0, told.images - losses.images)
    if conclusion.expected is not None:
        behind = min(behind, max(0, conclusion.expected - got))
    if behind:
        losses.add(numbering.lose_up_to(got + behind), behind, 0.0)
    losses.settle(told)
    reasons = [losses.why] if losses.why else []
    if early := conclusion.early(got + behind):
        reasons += [early] if losses.images or not told.late else [early, _UNSAID]
    if not reasons:
        return Ending()
    return Ending(status="failed", reason="; ".join(reasons), frames_dropped=losses.take())


def why(lost: int, told: Told) -> str:
    """Why `lost` images did not come, where the DCU says that it dropped so many.

    Each message goes to one receiver only: what the detector has sent, and we have not, went to another one.
    """
    dropped = told.images
    if told.late and dropped < lost:
        said = f"{dropped} were dropped when the DCU said so last" if dropped else _UNSAID
        return f"{lost} images did not come ({said}): nobody took them in time, or another receiver did"
    reason = "nobody took them in time" if dropped else "does another receiver take messages from this stream, too?"
    if 0 < dropped < lost:
        reason += ", or another receiver did"
    return f"{lost} images did not come (the DCU's stream says that it dropped {dropped or 'none'}): {reason}"
