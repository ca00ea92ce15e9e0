"""What a sender keeps until it is acked, so that it can be sent again: bounded in bytes, in order. No I/O."""

from collections import deque
from collections.abc import Sequence

import msgspec

from .acks import Ack
from .messages import Payload

__all__ = ["Kept", "ReplayRing"]

#: Recorders that came before: what they said last may arrive after the hello of the one that followed.
_BOOTS_REMEMBERED = 8
#: Series whose messages may still be acked; the ring holds the rest of one and few others.
_SERIES_REMEMBERED = 64


class Kept(msgspec.Struct, frozen=True, gc=False):
    """One message; its parts are the ones that were sent, uncopied. `size` is theirs, in bytes."""

    message_id: int
    parts: Sequence[Payload]
    size: int
    is_frame: bool


class ReplayRing:
    """Messages from `append` to their ack, and how far they have been pushed (handed to the socket).

    `series_begins` tells of each series, whether or not its messages are kept: an ack counts only together with a
    series that this ring was told of, since the ids of an earlier sender began anew.

    Frames of a series before the last may be of no use to the receiver that is there now: `let_go` makes room of them.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.size_bytes = 0
        self._pushed: deque[Kept] = deque()
        self._waiting: deque[Kept] = deque()
        self._frames = 0  # of the series begun last
        self._last_id = -1
        self._began = -1
        self._series: dict[str, int] = {}
        self._boot_id: str | None = None
        self._former: deque[str] = deque(maxlen=_BOOTS_REMEMBERED)
        # The receiver's first word was that it had nothing, and up to here it has had messages with no series open.
        self._began_empty = False
        self._strays_to = -1

    def __len__(self) -> int:
        """Messages that are not acked."""
        return len(self._pushed) + len(self._waiting)

    @property
    def waiting(self) -> int:
        """Messages that are still to be pushed, or to be pushed again."""
        return len(self._waiting)

    def fits(self, size: int) -> bool:
        """Whether a frame of that size may be appended.

        Without another of its series in the ring any may: it would never be sent otherwise, and a receiver that creates
        its file with the first frame may not ack a series-start before, nor what it has had in vain of series before.
        """
        return self.size_bytes + size <= self.budget_bytes or not self._frames

    def series_begins(self, series_id: str, message_id: int) -> None:
        """The series-start is this message."""
        self._series[series_id] = self._began = message_id
        self._frames = 0
        if len(self._series) > _SERIES_REMEMBERED:
            del self._series[next(iter(self._series))]

    def append(
        self, message_id: int, parts: Sequence[Payload], size: int, *, is_frame: bool = True, pushed: bool = False
    ) -> None:
        """Keeps a message, to be pushed after those that wait, or `pushed` already where none does.

        Whether it fits is the caller's question.
        """
        (self._pushed if pushed else self._waiting).append(Kept(message_id, parts, size, is_frame))
        self.size_bytes += size
        self._frames += is_frame
        self._last_id = max(self._last_id, message_id)

    def next(self) -> Kept | None:
        """What is to be pushed next."""
        return self._waiting[0] if self._waiting else None

    def push(self) -> None:
        """The next message was pushed."""
        self._pushed.append(self._waiting.popleft())

    def rewind(self) -> None:
        """What was pushed and is not acked may be lost: it is to be pushed again, before everything else."""
        self._waiting.extendleft(reversed(self._pushed))
        self._pushed.clear()

    def hear(self, ack: Ack) -> bool:
        """Forgets what is acked; whether that was a new recorder's hello, which asks for all the rest again."""
        if ack.boot_id in self._former:
            return False
        if (settled := self._settled(ack)) is not None:
            self._forget_up_to(settled)
        if ack.boot_id == self._boot_id:
            self._note_strays(ack)
            return False
        if self._boot_id is not None:
            self._former.append(self._boot_id)
        self._boot_id = ack.boot_id
        self._began_empty, self._strays_to = ack.series_id is None and ack.message_id is None, -1
        self.rewind()
        return True

    def let_go(self) -> int:
        """Forgets frames that the receiver has had in vain, to make room for the series begun last; says how many.

        They are of a series before it whose start was acked to another receiver, and won't come again: this one knew
        nothing when it came, and has had them with no series open. Until there is no room they are kept all the same:
        a receiver that does know their series may come yet.
        """
        count, upto = 0, min(self._strays_to, self._began - 1)
        while self._pushed and self._pushed[0].is_frame and self._pushed[0].message_id <= upto:
            self._forget_first(self._pushed)
            count += 1
        return count

    def forget(self) -> int:
        """Forgets everything; says how many messages that were."""
        count = len(self)
        self._pushed.clear()
        self._waiting.clear()
        self.size_bytes = self._frames = 0
        return count

    def _settled(self, ack: Ack) -> int | None:
        """The id up to which the ack counts here, if it does.

        Without a series it never does: the receiver may mean what was under way before it was sent the start again.
        """
        first = None if ack.series_id is None else self._series.get(ack.series_id)
        if first is None or ack.message_id is None or not first <= ack.message_id <= self._last_id:
            return None
        return ack.message_id

    def _note_strays(self, ack: Ack) -> None:
        # Of one that had something when it came, ids may be those of an earlier sender.
        if self._began_empty and ack.series_id is None and ack.message_id is not None:
            self._strays_to = max(self._strays_to, ack.message_id)

    def _forget_up_to(self, message_id: int) -> None:
        for messages in (self._pushed, self._waiting):
            while messages and messages[0].message_id <= message_id:
                self._forget_first(messages)
            if messages:
                return

    def _forget_first(self, messages: deque[Kept]) -> None:
        first = messages.popleft()
        self.size_bytes -= first.size
        self._frames -= first.is_frame and first.message_id >= self._began
