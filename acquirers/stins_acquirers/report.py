"""What an acquirer says of itself, and when it says it."""

import os
import threading
import time
from collections.abc import Callable
from uuid import uuid4

import msgspec

from stins.control import AcquirerState, AcquirerStatus
from stins.daemon import StatusBoard

from .dealing import Dealer
from .look import Look
from .outbox import Outbox
from .streams import Streams

__all__ = ["Report", "Standing"]

_STATUS_S = 0.1


class Standing(msgspec.Struct, frozen=True):
    """How things are with the acquirer, and with which series, of which the detector did not give so many frames.

    `drop_reason` is why; "" where its backend doesn't know, or not yet.
    """

    state: AcquirerState
    reason: str = ""
    series_id: str | None = None
    frames_expected: int | None = None
    not_given: int = 0
    drop_reason: str = ""


class Report:
    """Publishes the status on `board`: at each change that matters, and else ten times a second at most."""

    def __init__(self, name: str, backend_name: str, streams: Streams, outbox: Outbox | Dealer, look: Look) -> None:
        self._name = name
        self._backend_name = backend_name
        self._streams = streams
        self._outbox = outbox
        self._boot_id = uuid4().hex
        self._published = 0.0
        self._lock = threading.Lock()
        self.board = StatusBoard(self._status(Standing(AcquirerState.IDLE), look))

    def is_due(self, standing: Standing, look: Look) -> bool:
        """Whether there is news, or it is time to say how things are."""
        told = self.board.status
        news = (
            standing.state is not told.state
            or look.busy != told.busy
            # That frames are dropped is known here before the recorder tells that they are missing.
            or (not told.frames_dropped and self._outbox.dropped)
            or standing.not_given != told.frames_not_given
            or (standing.drop_reason and not told.drop_reason)
        )
        return bool(news) or time.monotonic() - self._published > _STATUS_S

    def publish(self, standing: Standing, look: Look) -> None:
        """Says how things are."""
        self._published = time.monotonic()
        with self._lock:
            self.board.publish(self._status(standing, look))

    def say_unanswered(self, unanswered: Callable[[], str]) -> str:
        """Says, from another thread, what the loop is held up by; "" if it isn't.

        It is asked inside the lock: what the loop says once it goes on comes behind it.
        """
        with self._lock:
            if text := unanswered():
                self.board.publish(msgspec.structs.replace(self.board.status, busy=text))
        return text

    def _status(self, standing: Standing, look: Look) -> AcquirerStatus:
        return AcquirerStatus(
            name=self._name,
            backend=self._backend_name,
            state=standing.state,
            reason=standing.reason,
            boot_id=self._boot_id,
            pid=os.getpid(),
            streams=self._streams.endpoints,
            acks=self._streams.acks,
            replay=self._streams.replay,
            unacked=self._streams.unacked,
            unacked_bytes=self._streams.unacked_bytes,
            series_id=standing.series_id,
            frames_sent=self._outbox.sent,
            # Those that no message has named yet are among them.
            frames_dropped=self._outbox.dropped - self._outbox.not_given + standing.not_given,
            frames_not_given=standing.not_given,
            drop_reason=standing.drop_reason,
            frames_expected=standing.frames_expected,
            frame=look.frame,
            settings=look.settings,
            units=look.units,
            interval_s=look.interval_s,
            busy=look.busy,
            triggers=look.triggers,
        )
