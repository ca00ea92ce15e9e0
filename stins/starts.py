"""Which series-starts came lately: a sender that sends again from its ring repeats one or two."""

from collections import deque
from collections.abc import Iterable
from hashlib import blake2b

from .codec import encode
from .messages import SeriesStart

__all__ = ["KnownStarts"]

#: A ring holds the rest of one series and few others; 64 bits tell 16 starts apart.
_REMEMBERED = 16
_DIGEST_BYTES = 8


class KnownStarts:
    """The last few, by fingerprints: a start may be 256 KiB, and a checkpoint is written with every flush."""

    def __init__(self, fingerprints: Iterable[str] = ()) -> None:
        self._fingerprints = deque(fingerprints, maxlen=_REMEMBERED)

    def add(self, start: SeriesStart) -> None:
        """Remembers one."""
        self._fingerprints.append(_fingerprint(start))

    def __contains__(self, start: SeriesStart) -> bool:
        return _fingerprint(start) in self._fingerprints

    def as_tuple(self) -> tuple[str, ...]:
        """The fingerprints, oldest first."""
        return tuple(self._fingerprints)


def _fingerprint(start: SeriesStart) -> str:
    return blake2b(encode(start), digest_size=_DIGEST_BYTES).hexdigest()
