"""Sets of frame numbers kept as ranges: a million missing frames are one pair of numbers."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

__all__ = ["Spans"]


class Spans:
    """Disjoint, sorted, inclusive ranges `(first, last)`."""

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._spans: list[tuple[int, int]] = []
        for first, last in spans:
            self.add(first, last)

    def add(self, first: int, last: int) -> None:
        """Adds first to last; an empty range (last < first) adds nothing."""
        if last < first:
            return
        kept = [span for span in self._spans if span[1] < first - 1 or span[0] > last + 1]
        touched = [span for span in self._spans if not (span[1] < first - 1 or span[0] > last + 1)]
        merged = (min([first, *(s[0] for s in touched)]), max([last, *(s[1] for s in touched)]))
        kept.insert(bisect_left(kept, merged), merged)
        self._spans = kept

    def remove(self, first: int, last: int) -> None:
        """Takes first to last out; numbers that are not in the set don't matter."""
        pieces = []
        for low, high in self._spans:
            if high < first or low > last:
                pieces.append((low, high))
                continue
            pieces += [piece for piece in ((low, first - 1), (last + 1, high)) if piece[0] <= piece[1]]
        self._spans = pieces

    def __contains__(self, number: int) -> bool:
        return any(first <= number <= last for first, last in self._spans)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._spans)

    def __len__(self) -> int:
        """How many ranges; `count` says how many numbers."""
        return len(self._spans)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spans) and self._spans == other._spans

    __hash__ = None  # type: ignore[assignment]  # it can change

    @property
    def count(self) -> int:
        """How many numbers the set holds."""
        return sum(last - first + 1 for first, last in self._spans)

    def count_between(self, first: int, last: int) -> int:
        """How many numbers of the set lie in first to last."""
        return sum(max(0, min(high, last) - max(low, first) + 1) for low, high in self._spans)

    def count_from(self, first: int) -> int:
        """How many numbers of the set are `first` or more."""
        return sum(max(0, high - max(low, first) + 1) for low, high in self._spans)

    def as_tuple(self) -> tuple[tuple[int, int], ...]:
        """The ranges as a value that stays as it is."""
        return tuple(self._spans)
