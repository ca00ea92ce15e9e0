"""Images of a series that never came, each with its reason. No I/O."""

import msgspec

from ...backend import Ending

__all__ = ["Losses"]

_NAMED = 3

Spans = tuple[tuple[int, int], ...]


class _Loss(msgspec.Struct, frozen=True):
    first: int
    last: int
    why: str


class Losses:
    """`untold` are frames that are lost, and that no frame has named yet."""

    def __init__(self) -> None:
        self._lost: list[_Loss] = []
        self.untold: Spans = ()

    def add(self, first: int, last: int, why: str) -> None:
        """Frames that are not waited for any longer."""
        self._lost.append(_Loss(first, last, why))
        self.untold += ((first, last),)

    def take(self) -> Spans:
        """The frames that the next one names."""
        untold, self.untold = self.untold, ()
        return untold

    def taken_again(self, frame: int) -> None:
        """From this frame on all are taken again."""
        self._lost = [
            _Loss(loss.first, min(loss.last, frame - 1), loss.why) for loss in self._lost if loss.first < frame
        ]
        self.untold = tuple((first, min(last, frame - 1)) for first, last in self.untold if first < frame)

    @property
    def why(self) -> str:
        """Why they did not come, of the first few; "" where none are lost."""
        further = len(self._lost) - _NAMED
        more = (f"and {further} times more",) if further > 0 else ()
        return "; ".join([*(loss.why for loss in self._lost[:_NAMED]), *more])

    def ending(self) -> Ending:
        """The end of a series with these losses."""
        return Ending(status="failed", reason=self.why, frames_dropped=self.take()) if self._lost else Ending()
