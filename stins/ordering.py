"""Puts messages back in the order of their ids, within a window that is bounded in number, bytes and time."""

from typing import TypeAlias

import msgspec

from .messages import Data, Packet

__all__ = ["Held", "ReorderWindow"]

#: A message that came before its turn, or what was wrong with one that was refused: it holds its place.
Held: TypeAlias = Packet | str


class _Waiting(msgspec.Struct, frozen=True):
    held: Held
    since: float
    size: int


class ReorderWindow:
    """Messages that came before their turn; one that was refused holds its place without its content.

    `count` x the largest frame bounds the memory (64 x 8 MiB = 512 MiB); `size_bytes` cuts it short for
    large frames.
    """

    def __init__(self, *, count: int = 64, size_bytes: int = 256 << 20, timeout_s: float = 2.0) -> None:
        self._count = count
        self._size_bytes = size_bytes
        self._timeout_s = timeout_s
        self._waiting: dict[int, _Waiting] = {}
        self._held_bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, message_id: int) -> bool:
        return message_id in self._waiting

    def put(self, message_id: int, held: Held, now: float) -> None:
        """Keeps a message for later."""
        size = _size(held)
        self._waiting[message_id] = _Waiting(held, now, size)
        self._held_bytes += size

    def fits(self, held: Held) -> bool:
        """Whether one more would not use the window up."""
        return len(self._waiting) < self._count and self._held_bytes + _size(held) <= self._size_bytes

    def give_way(self) -> bool:
        """Forgets the frame that came last, to make a place for what matters more; whether there was one.

        A place, and not always the bytes: a start may bring arrays.
        """
        for message_id, waiting in reversed(self._waiting.items()):
            if isinstance(waiting.held, Packet) and isinstance(waiting.held.header, Data):
                self.take(message_id)
                return True
        return False

    def take(self, message_id: int) -> Held:
        """What waits under that id. Raises KeyError if nothing does."""
        waiting = self._waiting.pop(message_id)
        self._held_bytes -= waiting.size
        return waiting.held

    def first(self) -> int:
        """The lowest id that waits."""
        return min(self._waiting)

    def exhausted(self, now: float) -> bool:
        """Whether the missing id has been waited for long enough."""
        if not self._waiting:
            return False
        if len(self._waiting) > self._count or self._held_bytes > self._size_bytes:
            return True
        # A dict keeps the order of arrival: its first entry has waited longest.
        return now - next(iter(self._waiting.values())).since >= self._timeout_s

    def clear(self) -> int:
        """Forgets everything; says how many messages that were."""
        count = len(self._waiting)
        self._waiting.clear()
        self._held_bytes = 0
        return count


def _size(held: Held) -> int:
    return 0 if isinstance(held, str) else sum(map(len, held.payload))
