"""The acquirer's end of the stream: a bound PUSH socket that copies no large payload and never blocks unasked."""

import logging
import math
import time
from collections.abc import Sequence
from typing import Protocol

import msgspec
import zmq

from ..acks import Ack
from ..errors import StinsError
from ..messages import Data, Header, Payload
from ..ring import ReplayRing
from .acks import AckListener
from .hwm import DEFAULT_BUDGET_BYTES, DEFAULT_MAX_MESSAGE_BYTES, DEFAULT_RING_BYTES, high_water_mark
from .peers import PeerWatch, Went
from .sending import send_uncopied
from .sockets import TransportError, bind, harden
from .threads import shared_context

__all__ = ["Link", "Publisher"]

log = logging.getLogger(__name__)

#: A recorder that acks says so every second, whether or not there is news.
_ACKING_S = 5.0
#: A recorder connects its two sockets at once; so long may its first ack take behind the first connection.
_GRACE_S = 1.0
#: What a recorder said before it died is read no later than this behind the end of its connection.
_LAST_WORDS_S = 0.5
#: That a peer has come may be known from the socket before the event that tells so is there.
_EVENT_S = 0.01
#: How often acks are looked for: 20 us for each look, 10 MiB of ring for each interval at 1 GB/s.
_LOOK_S = 0.01
_LOOK_MESSAGES = 64
#: What a message takes in the ring beside its bytes: tuple, objects, list entry.
_ENTRY_BYTES = 256
#: A socket that was full is not asked again for each small frame: asking costs 4 us, as much as the rest of a frame.
_FULL_S = 0.0005


class Link(Protocol):
    """Where a sender puts its messages."""

    def send(self, parts: Sequence[Payload], timeout_s: float = 0.0, header: Header | None = None) -> bool:
        """Queues one message; False if there was no room for it within `timeout_s`.

        `header` is what the first part was made of, where the caller has it.
        """


class _Series(msgspec.Struct, frozen=True):
    id: str | None = None


class _Head(msgspec.Struct, frozen=True, gc=False):
    message_type: str
    message_id: int
    series: _Series | None = None


class Publisher:
    """Binds `endpoint` (port 0: the system chooses, `endpoint` says which) and queues messages for its peers.

    With `acks`, an endpoint too, what is sent to a recorder that acks is kept until it is acked, in `ring_bytes` of
    memory, and sent again to one that comes back: `replay` says whether. That is decided at each series-start, and a
    recorder that begins to ack in mid-series turns it on. To a peer that doesn't ack the messages go as they come, and
    so does a series without an id.
    The caller's loop calls `service`. Payloads are handed over to the ring uncopied, and to the socket where they are
    large (`sending`): the caller must not change a buffer it has sent.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        acks: str | None = None,
        ring_bytes: int = DEFAULT_RING_BYTES,
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        self._context = context or shared_context()
        self._socket = self._context.socket(zmq.PUSH)
        harden(self._socket, sends_again=acks is not None)
        self._max_message_bytes = max_message_bytes
        self._socket.sndhwm = high_water_mark(budget_bytes, max_message_bytes)
        self._peers = PeerWatch(self._socket)
        self._listener: AckListener | None = None
        self._heads = msgspec.json.Decoder(_Head)
        self._ring = ReplayRing(ring_bytes)
        self._poller = zmq.Poller()
        self.replay = False
        self._series_id: str | None = None
        self._peer_lost = False
        self._full = -math.inf
        self._looked = -math.inf
        self._unlooked = 0
        try:
            self.endpoint = bind(self._socket, endpoint)
            if acks is not None:
                self._listener = AckListener(acks, self._context)
                self._poller.register(self._listener.socket, zmq.POLLIN)
        except TransportError:
            self.close()
            raise

    @property
    def acks(self) -> str | None:
        """Where acks are heard."""
        return self._listener.endpoint if self._listener else None

    @property
    def unacked(self) -> int:
        """Messages that are kept until they are acked."""
        return len(self._ring)

    @property
    def unacked_bytes(self) -> int:
        """The memory that they take."""
        return self._ring.size_bytes

    @property
    def waiting(self) -> int:
        """Messages that are still to be handed to the socket, or once again."""
        return self._ring.waiting

    # -- sending --------------------------------------------------------------------------------

    def send(self, parts: Sequence[Payload], timeout_s: float = 0.0, header: Header | None = None) -> bool:
        """Queues one message; False if there was no room for it within `timeout_s` (0: does not wait).

        `header` is what the first part was made of, where the caller has it; else that is read.

        The room is a peer's that takes it, or with `replay` the ring's: there start and end of a series always find it.
        Raises `StinsError` for a part above `max_message_bytes`: a receiver's ZeroMQ would drop the connection.
        """
        size = self._checked_size(parts)
        if self._listener is None:
            return self._queue(parts, timeout_s)
        if type(header) is Data:
            is_frame, message_id = True, header.message_id
        else:
            head = self._heads.decode(parts[0])
            is_frame, message_id = head.message_type == "data", head.message_id
            if head.message_type == "series-start":
                self._series_begins(head)
        if not self.replay:
            return self._queue(parts, timeout_s)
        size += _ENTRY_BYTES
        # A start always finds room: its ack settles all before it. So does an end: it names the frames that found none.
        if is_frame and not self._ring.fits(size) and not self._make_room(size, timeout_s):
            return False
        self._ring.append(message_id, parts, size, is_frame=is_frame, pushed=self._push_next(parts))
        self._unlooked += 1
        if self._unlooked >= _LOOK_MESSAGES:
            self._look()
        return True

    def _push_next(self, parts: Sequence[Payload]) -> bool:
        """Hands the socket a message, if it has room and nothing waits that is to go before it."""
        if self._ring.waiting:
            if time.monotonic() - self._full >= _FULL_S:
                self._pump()
            if self._ring.waiting:
                return False
        if self._peer_lost and self._held():
            return False
        if self._push(parts):
            return True
        self._full = time.monotonic()
        return False

    def _checked_size(self, parts: Sequence[Payload]) -> int:
        total = 0
        for part in parts:
            # The length of a memoryview is that of its first axis.
            total += part.nbytes if type(part) is memoryview else len(part)
        if total > self._max_message_bytes:
            self._check_each(parts)
        return total

    def _check_each(self, parts: Sequence[Payload]) -> None:
        for index, part in enumerate(parts):
            if (size := memoryview(part).nbytes) > self._max_message_bytes:
                raise StinsError(
                    f"part {index}: got {size} bytes, expected at most {self._max_message_bytes} "
                    "(stream.max_message_bytes)"
                )

    def _queue(self, parts: Sequence[Payload], timeout_s: float) -> bool:
        if timeout_s > 0 and not self._socket.poll(round(timeout_s * 1000), zmq.POLLOUT):
            return False
        return self._push(parts)

    def _push(self, parts: Sequence[Payload]) -> bool:
        try:
            send_uncopied(self._socket, parts)
        except zmq.Again:
            return False
        return True

    def _make_room(self, size: int, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        self._look()
        while not self._has_room(size):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.wait_for_room(left)
        return True

    def _has_room(self, size: int) -> bool:
        """Whether a frame of that size fits, if need be in place of frames that the recorder there can't record."""
        if self._ring.fits(size):
            return True
        if count := self._ring.let_go():
            log.warning(
                "%s: %d frames of an earlier series, which the recorder there does not know, are let go of: "
                "the next series needs the room",
                self.endpoint,
                count,
            )
        return self._ring.fits(size)

    # -- the ring -------------------------------------------------------------------------------

    def _series_begins(self, head: _Head) -> None:
        self._look()
        self._series_id = head.series.id if head.series else None
        self.replay = self._acking() and self._series_id is not None
        if not self.replay and (count := self._ring.forget()):
            log.warning("%s: nobody acks any more; %d messages that were not acked are forgotten", self.endpoint, count)
        if self._series_id is not None:
            self._ring.series_begins(self._series_id, head.message_id)

    def _acking(self) -> bool:
        return self._listener is not None and time.monotonic() - self._listener.heard < _ACKING_S

    def service(self) -> None:
        """Hears acks and sends what waits; for the loop that sends, on every turn: most turns cost 0.1 us."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_S:
            self._look()
        if self._ring.waiting and now - self._full >= _FULL_S:
            self._pump()

    def _look(self) -> None:
        self._looked, self._unlooked = time.monotonic(), 0
        self._look_who_went()
        if self._listener is None:
            return
        for ack in self._listener.take():
            self._hear(ack)

    def _look_who_went(self, timeout_s: float = 0.0) -> None:
        """With who goes, what was queued for it goes."""
        went = self._peers.look(timeout_s)
        if went is Went.THE_LAST:
            self._peer_lost = True
        elif went is Went.ONE_OF_SEVERAL:
            # Others are there, and have been heard: nothing is to be waited for.
            self._ring.rewind()

    def _hear(self, ack: Ack) -> None:
        # What belongs to no series can't be acked.
        self.replay = self._series_id is not None
        if self._ring.hear(ack):
            has = (
                "nothing of this stream yet" if ack.message_id is None else f"everything up to message {ack.message_id}"
            )
            log.info("%s: a recorder has started that has %s; %d messages follow", self.endpoint, has, self.unacked)
        elif self._peer_lost:
            if not self._peers.connected and time.monotonic() - self._peers.left < _LAST_WORDS_S:
                # Of one that is gone, perhaps: who comes is heard before it is sent anything. Who acks later lives.
                return
            # The same recorder, but its connection broke.
            self._ring.rewind()
        self._peer_lost = False

    def _pump(self) -> None:
        """Hands the socket what waits, as far as it has room."""
        ring = self._ring
        if self._held():
            return
        while (kept := ring.next()) is not None:
            if not self._push(kept.parts):
                self._full = time.monotonic()
                return
            ring.push()

    def _held(self) -> bool:
        """Whether a peer is gone, or came back and has not been heard: what it asks for comes before what is next."""
        return self._peer_lost and not (self._peers.connected and time.monotonic() - self._peers.joined > _ACKING_S)

    # -- waiting --------------------------------------------------------------------------------

    def wait_for_peer(self, timeout_s: float) -> bool:
        """Whether within `timeout_s` a peer is there: it acks, or it is connected and takes a message."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._look()
            left = deadline - time.monotonic()
            if self._acking():
                return True
            if not self._socket.poll(max(0, round(left * 1000)), zmq.POLLOUT):
                return False
            if self._listener is None or (grace := self._grace()) <= 0:
                return True
            self._listener.socket.poll(round(grace * 1000) + 1)

    def _grace(self) -> float:
        """For how many seconds the first ack of a peer that has just come may be waited for."""
        self._look_who_went(_EVENT_S)
        return _GRACE_S - (time.monotonic() - self._peers.joined)

    def wait_for_room(self, timeout_s: float) -> bool:
        """Whether a message finds room within `timeout_s`; what waits is sent meanwhile."""
        if not self.replay:
            return bool(self._socket.poll(round(timeout_s * 1000), zmq.POLLOUT))
        wanted = zmq.POLLOUT if self._ring.waiting and not self._held() else 0
        self._poller.register(self._socket, wanted)
        self._poller.poll(round(timeout_s * 1000))
        self._look()
        self._pump()
        return self._ring.fits(1)

    def drain(self, timeout_s: float) -> int:
        """Waits until all is acked, at most so long; how many messages are not."""
        deadline = time.monotonic() + timeout_s
        while len(self._ring) and (left := deadline - time.monotonic()) > 0:
            self.wait_for_room(left)
        return len(self._ring)

    def close(self, linger_s: float = 1.0) -> None:
        """Closes the sockets; what is queued has `linger_s` to leave. Closing twice does no harm."""
        self._peers.close()
        if self._listener:
            self._listener.close()
        self._socket.close(linger=round(linger_s * 1000))
