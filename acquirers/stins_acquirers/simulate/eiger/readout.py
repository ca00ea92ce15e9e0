"""The loop that takes images when their time has come, and sends them: it does what the detector orders."""

import queue
import time
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Final, Protocol

from .orders import Abort, Begin, Cancel, ClearStream, End, Expose, Exposure, Order, Reset, Stop
from .outlet import Message, Outlet
from .series import Image, Series, StreamFormat
from .stream_v1 import StreamV1
from .stream_v2 import StreamV2

__all__ = ["Readout", "Watcher"]

#: Images are sent in bursts of what became due meanwhile: each waking costs some 50 us, and a detector bursts as well.
_BURST_NS: Final = 2_000_000
#: How often it is tried again to send what waits for a client.
_RETRY_NS: Final = 5_000_000
#: How long what nobody fetched is kept behind the end of its series: a client that is just connecting gets it.
_KEPT_NS: Final = 1_000_000_000
_IDLE_NS: Final = 3_600_000_000_000


class Watcher(Protocol):
    """Whom the loop tells, and asks."""

    def exposed(self, exposure: Exposure) -> None:
        """All images of an exposure are taken."""

    def lets_pass(self, number: int) -> bool:
        """Whether that image is sent; False: it is lost."""


class Readout:
    """`run` is the loop, of one thread; `order` may be called from any."""

    def __init__(self, outlets: Mapping[StreamFormat, Outlet], watcher: Watcher) -> None:
        self._outlets = outlets
        self._watcher = watcher
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._exposures: deque[Exposure] = deque()
        self._series: _Running | None = None
        self._over = False
        self._ended_ns = 0
        self.dropped = 0
        self.taken = 0

    @property
    def waiting(self) -> int:
        """How many images wait for a client."""
        return sum(outlet.waiting for outlet in self._outlets.values())

    def order(self, order: Order) -> None:
        """Has it done as soon as possible, one after the other; whoever waits for it when all is over, is set free."""
        self._orders.put(order)
        if self._over:
            self._free_waiting()

    def run(self) -> None:
        """Works until it is stopped; whoever waits for an exposure is set free then."""
        while True:
            order = self._wait()
            if isinstance(order, Stop):
                break
            if order is not None:
                self._do(order)
            self._take_due()
            for outlet in self._outlets.values():
                outlet.flush()
            self._forget()
        self._over = True
        self._cut()
        self._free_waiting()

    def _wait(self) -> Order | None:
        """The next order, or None when it is time for something else."""
        now = time.monotonic_ns()
        pause_ns = _RETRY_NS if any(outlet.has_to_flush for outlet in self._outlets.values()) else _IDLE_NS
        if self._exposures:
            pause_ns = min(pause_ns, max(self._exposures[0].due_ns - now, _BURST_NS))
        try:
            return self._orders.get(timeout=pause_ns / 1e9)
        except queue.Empty:
            return None

    def _do(self, order: Order) -> None:
        match order:
            case Begin(series, done):
                self._begin(series)
                done.set()
            case Expose(exposure):
                self._exposures.append(exposure)
            case Cancel():
                self._cancel()
            case Abort(drop, done):
                self._abort(drop=drop)
                done.set()
            case ClearStream():
                self._clear_stream()
            case End(done):
                self._end()
                done.set()
            case Reset(done):
                self._reset()
                done.set()

    # -- the series -----------------------------------------------------------------------------

    def _begin(self, series: Series) -> None:
        self.dropped = self.taken = 0
        if series.stream is None:
            return
        self._series = _Running(series, self._outlets[series.stream])
        self._series.start()

    def _end(self) -> None:
        if self._series is not None:
            self._series.end()
            self._series = None
            self._ended_ns = time.monotonic_ns()

    def _forget(self) -> None:
        """Who comes some time after a series gets nothing of it; what a real detector does is published nowhere."""
        if self._series is None and time.monotonic_ns() - self._ended_ns > _KEPT_NS:
            self.dropped += sum(outlet.forget_unwanted() for outlet in self._outlets.values())

    def _cancel(self) -> None:
        """What is being exposed is finished, what was to follow it is not begun."""
        if not self._exposures:
            return
        first = self._exposures.popleft()
        self._cut()
        first.images = min(first.images, first.taken + 1)
        self._exposures.append(first)

    def _abort(self, *, drop: bool) -> None:
        self._cut()
        if drop:
            for outlet in self._outlets.values():
                self.dropped += outlet.drop_images()

    def _clear_stream(self) -> None:
        self._series, self.dropped = None, 0
        for outlet in self._outlets.values():
            outlet.clear()

    def _reset(self) -> None:
        self._cut()
        self._series = None
        self.dropped = self.taken = 0
        for outlet in self._outlets.values():
            outlet.restart()

    def _cut(self) -> None:
        while self._exposures:
            self._exposures.popleft().done.set()

    def _free_waiting(self) -> None:
        """Nobody waits for what is not done any more."""
        while True:
            try:
                order = self._orders.get_nowait()
            except queue.Empty:
                return
            match order:
                case Expose(exposure):
                    exposure.done.set()
                case Begin(_, done) | Abort(_, done) | End(done) | Reset(done):
                    done.set()

    # -- the images -----------------------------------------------------------------------------

    def _take_due(self) -> None:
        now = time.monotonic_ns()
        while self._exposures and self._exposures[0].due_ns <= now:
            exposure = self._exposures[0]
            self._take(exposure)
            if exposure.taken >= exposure.images:
                self._exposures.popleft()
                self._watcher.exposed(exposure)
                exposure.done.set()

    def _take(self, exposure: Exposure) -> None:
        stop_ns = exposure.due_ns
        image = Image(
            number=self.taken,
            start_ns=stop_ns - exposure.count_ns,
            stop_ns=stop_ns,
            real_ns=exposure.real_ns,
            appendix=exposure.appendix,
        )
        exposure.taken += 1
        self.taken += 1
        passes = self._watcher.lets_pass(image.number)
        if self._series is not None and not (passes and self._series.image(image)):
            self.dropped += 1


class _Running:
    """A series whose messages are sent."""

    def __init__(self, series: Series, outlet: Outlet) -> None:
        self._stream = StreamV2(series) if series.stream == "cbor" else StreamV1(series)
        self._outlet = outlet

    def start(self) -> None:
        self._outlet.offer(Message(self._stream.send_start, is_image=False))

    def image(self, image: Image) -> bool:
        return self._outlet.offer(Message(partial(self._stream.send_image, image), is_image=True))

    def end(self) -> None:
        self._outlet.offer(Message(self._stream.send_end, is_image=False))
