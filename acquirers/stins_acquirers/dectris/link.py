"""The detector's stream as it comes: which messages belong to the series that was armed, and which to others."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import zmq

from stins.transport import Receiver, TransportError
from stins.transport.sockets import has_message
from stins.transport.threads import undisturbing

from ..backend import HardwareError, Opening
from .incoming import Identity, Incoming, Stream
from .stream_v1 import StreamV1
from .stream_v2 import StreamV2

__all__ = ["Link", "MixedUpError", "Sought"]

log = logging.getLogger(__name__)

_TICK_S: Final = 0.05
#: A connection takes a millisecond, and each series makes one.
_CONNECT_TICK_S: Final = 0.002
#: A start that says nothing of whose it is may be an old one: so long it is waited for a better one.
_DOUBT_S: Final = 0.3
#: Pixel mask and flat field of each channel, 4 bytes each a pixel, come in one message.
_START_BYTES_A_PIXEL: Final = 8
_SPARE_BYTES: Final = 16 << 20
_STREAMS: Final[Mapping[str, Callable[[Mapping[str, Any]], Stream]]] = {"v1": StreamV1, "v2": StreamV2}


class Sought(msgspec.Struct, frozen=True):
    """How the start of our series is known: by the appendix that was set, by the number that `arm` answered."""

    appendix: str
    number: int | None


class MixedUpError(HardwareError):
    """What was armed here is a series that another client had set up: it is nobody's."""


class Link:
    """A PULL socket connected to the DCU, for one series whose images have so many `pixels`, all channels together.

    `holds` says how many of them may wait here. It belongs to the thread that uses it.
    """

    def __init__(self, host: str, port: int, version: str, pixels: int, holds: int) -> None:
        self.endpoint = f"tcp://{host}:{port}" if ":" not in host else f"tcp://[{host}]:{port}"
        self._version = version
        largest = pixels * _START_BYTES_A_PIXEL + _SPARE_BYTES
        # A start is never alone in the queue for long, so that its size does not matter for the memory.
        # A context of its own: only when that has ended is the connection closed for sure. The start of the next series
        # could be dealt to one that is still there.
        self._context: zmq.Context[zmq.Socket[bytes]] = undisturbing(zmq.Context())
        try:
            self._receiver = Receiver(
                [self.endpoint], budget_bytes=largest * holds, max_message_bytes=largest, context=self._context
            )
        except TransportError:
            self._context.term()
            raise
        self._stream: Stream = _STREAMS[version]({})
        self.stale = 0

    @property
    def connected(self) -> bool:
        """Whether the DCU's stream is connected."""
        self._receiver.watch_connections()
        return self._receiver.connections > 0

    def wait_connected(self, timeout_s: float) -> bool:
        """Whether it is within that time."""
        deadline = time.monotonic() + timeout_s
        while not self.connected:
            if time.monotonic() > deadline:
                return False
            time.sleep(_CONNECT_TICK_S)
        return True

    # -- the start ------------------------------------------------------------------------------

    def wait_for_start(self, sought: Sought, config: Mapping[str, Any], timeout_s: float) -> tuple[Identity, Opening]:
        """How the series begins that was just armed; what comes before belongs to others, and is counted in `stale`.

        Raises `HardwareError` when it doesn't come; `MixedUpError` when it came with the appendix of another client.
        """
        self._stream = _STREAMS[self._version](config)
        self.stale = 0
        deadline = time.monotonic() + timeout_s
        doubtful: tuple[Identity, Opening] | None = None
        mixed_up = False
        while (now := time.monotonic()) < deadline:
            incoming = self.receive(min(_TICK_S, deadline - now))
            if incoming is None:
                continue
            if isinstance(incoming.value, Opening):
                found = incoming.series, incoming.value
                ours = _is_ours(incoming, sought)
                if ours:
                    return found
                if ours is None and doubtful is None:
                    deadline = min(deadline, now + _DOUBT_S)
                doubtful = found if ours is None else doubtful
                # Or it is an old one: numbers begin anew with each `initialize`.
                mixed_up |= ours is False and incoming.series.number == sought.number
            self.stale += 1
        if doubtful is not None:
            return doubtful
        if mixed_up:
            raise MixedUpError(
                f"stream {self.endpoint}: another client set the detector up at the moment when it was armed here: "
                f"series {sought.number} came with that client's appendix, expected ours; one of them has to wait for "
                "the other, then arm again"
            )
        others = f" ({self.stale} messages of other series came)" if self.stale else ""
        raise HardwareError(
            f"stream {self.endpoint}: the series was armed, but its start did not come within {timeout_s:g} s{others}; "
            "does another receiver take messages from this stream? Each message goes to one of them only"
        )

    # -- messages -------------------------------------------------------------------------------

    def receive(self, timeout_s: float) -> Incoming | None:
        """The next message, waiting at most so long for it."""
        if timeout_s <= 0 and not has_message(self._receiver.socket):
            return None
        # It waits in the same call, which costs half of a poller's. What is asked for with 0 is there.
        parts = self._receiver.receive(timeout_s if timeout_s > 0 else None)
        return self._stream.read(parts) if parts is not None else None

    def close(self) -> None:
        """Closes the connection; returns when it is closed. Closing twice does no harm."""
        self._receiver.close()
        self._context.term()


def _is_ours(incoming: Incoming, sought: Sought) -> bool | None:
    """Whether a start is the one that was armed; None where it doesn't say."""
    if incoming.appendix not in (None, ""):
        # What version 1 sends as text, it may have been parsed.
        return _same(incoming.appendix, sought.appendix)
    return True if incoming.series.number == sought.number else None


def _same(appendix: Any, ours: str) -> bool:
    return bool(appendix == ours or appendix == msgspec.json.decode(ours))
