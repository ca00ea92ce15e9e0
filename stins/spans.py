"""Sets of frame numbers kept as ranges: a million missing frames are one pair of numbers."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

__all__ = ["Spans"]


def _first(span: tuple[int, int]) -> int:
    return span[0]


def _last(span: tuple[int, int]) -> int:
    return span[1]


class Spans:
    """Disjoint, sorted, inclusive ranges `(first, last)` that don't touch each other."""

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._spans: list[tuple[int, int]] = []
        for first, last in spans:
            self.add(first, last)

    def add(self, first: int, last: int) -> None:
        """Adds first to last; an empty range (last < first) adds nothing."""
        if last < first:
            return
        low, high = self._touched(first - 1, last + 1)
        if low < high:
            first, last = min(first, self._spans[low][0]), max(last, self._spans[high - 1][1])
        self._spans[low:high] = [(first, last)]

    def remove(self, first: int, last: int) -> None:
        """Takes first to last out; numbers that are not in the set don't matter."""
        low, high = self._touched(first, last)
        if last < first or low >= high:
            return
        left, right = (self._spans[low][0], first - 1), (last + 1, self._spans[high - 1][1])
        self._spans[low:high] = [span for span in (left, right) if span[0] <= span[1]]

    def _touched(self, first: int, last: int) -> tuple[int, int]:
        """The slice of ranges that share a number with first to last."""
        low = bisect_left(self._spans, first, key=_last)
        return low, bisect_right(self._spans, last, lo=low, key=_first)

    def __contains__(self, number: int) -> bool:
        low, high = self._touched(number, number)
        return low < high

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._spans)

    def __len__(self) -> int:
        """How many ranges; `count` says how many numbers."""
        return len(self._spans)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spans) and self._spans == other._spans

    def __repr__(self) -> str:
        return f"Spans({self._spans})"

    __hash__ = None  # type: ignore[assignment]  # it can change

    @property
    def count(self) -> int:
        """How many numbers the set holds."""
        return sum(last - first + 1 for first, last in self._spans)

    def count_between(self, first: int, last: int) -> int:
        """How many numbers of the set lie in first to last."""
        if last < first:
            return 0
        low, high = self._touched(first, last)
        return sum(min(last, b) - max(first, a) + 1 for a, b in self._spans[low:high])

    def first_outside(self, number: int) -> int:
        """The lowest number from this one on that is not in the set."""
        low, high = self._touched(number, number)
        return self._spans[low][1] + 1 if low < high else number

    def as_tuple(self) -> tuple[tuple[int, int], ...]:
        """The ranges as a value that stays as it is."""
        return tuple(self._spans)
