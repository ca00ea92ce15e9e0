"""The writer: receive, check, write, republish. It alone touches HDF5, and nothing else runs in its process."""

import logging
import signal
import time
from collections.abc import Callable

import zmq

from stins import Decoder, MessageError, ReorderWindow, SeriesReceiver
from stins.receiver import Instruction
from stins.transport import LivePublisher, Receiver

from .config import RecorderConfig
from .errors import RecorderError
from .link import Answer, Begin, Line, Link, Order, WriterStatus
from .preview_feed import PreviewFeed
from .recording import Recording

__all__ = ["Writer"]

log = logging.getLogger(__name__)

#: How many messages, and for how long, are taken before the link and the connections are looked at again: on a slow
#: disk one message may take a tenth of a second, and who hears nothing for 3 s takes this process for dead.
_BATCH, _BATCH_S = 128, 0.1
#: With nothing waiting: how long a next frame may take before everything is flushed. A flush costs 0.1 to 0.5 ms.
_QUIET_MS = 1
_SLEEP_MS = 250
_STATUS_S = 0.1
_HEARTBEAT_S = 1.0


class Writer:
    """One loop around the receiver's machine and the file."""

    @classmethod
    def record(cls, begin: Begin, link: Link, watch: Callable[[str], None]) -> int:
        """Records until it is told to exit, or the supervisor is gone; the exit status."""
        writer = cls(RecorderConfig.model_validate(begin.config), link, begin.preview, watch)
        signal.signal(signal.SIGTERM, lambda *_: writer.stop())
        writer.run()
        return 0

    def __init__(
        self, config: RecorderConfig, link: Link, preview: str, watch: Callable[[str], None] = lambda _step: None
    ) -> None:
        self._config = config
        self._watch = watch
        self._link = link
        budget = config.budget_bytes
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._receiver = Receiver(
            config.sources, budget_bytes=budget, max_message_bytes=config.max_message_bytes, context=context
        )
        self._live = LivePublisher(
            config.live, budget_bytes=budget // 4, max_message_bytes=config.max_message_bytes, context=context
        )
        self._preview = PreviewFeed(preview, context)
        order = config.order
        window = ReorderWindow(count=order.window, size_bytes=order.window_bytes, timeout_s=order.gap_timeout_s)
        self._machine = SeriesReceiver(window=window, idle_timeout_s=config.idle_timeout_s)
        self._recording = Recording(config.roots, self._machine, config.reserve_bytes)
        self._decoder = Decoder(strict=config.strict)
        self._poller = zmq.Poller()
        self._poller.register(self._receiver.socket, zmq.POLLIN)
        self._poller.register(link.fileno(), zmq.POLLIN)
        self._exit = False
        self._flushed = self._told = 0.0
        self._told_what = self._what()

    def stop(self) -> None:
        """Lets `run` end after the present batch."""
        self._exit = True

    def run(self) -> None:
        """Until told to exit, or until the supervisor is gone."""
        self._tell(time.monotonic())
        while not self._exit and not self._link.closed:
            more = self._drain()
            now = time.monotonic()
            self._housekeeping(now)
            if more:
                self._poll(0)
            else:
                self._quiet(now)
        self._execute(self._machine.stop("the recorder was stopped"))
        self._tell(time.monotonic())
        self._close()

    def _drain(self) -> bool:
        """Takes a batch of messages; whether there may be more."""
        receive, take = self._receiver.receive, self._take
        began = now = time.monotonic()
        for _ in range(_BATCH):
            parts = receive()
            if parts is None:
                return False
            take(parts, now)
            # The clock costs 50 ns, a small frame 40 µs.
            now = time.monotonic()
            if now - began > _BATCH_S:
                break
        return True

    def _take(self, parts: list[memoryview], now: float) -> None:
        try:
            packet = self._decoder.decode(parts)
        except MessageError as error:
            self._execute(self._machine.refuse(error.message_id, str(error), now))
            return
        self._execute(self._machine.receive(packet, now))
        self._live.send(parts)

    def _execute(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            self._recording.execute(instruction)

    def _housekeeping(self, now: float) -> None:
        self._execute(self._machine.tick(now))
        self._receiver.watch_connections()
        self._live.watch_subscribers()
        if self._recording.dirty and now - self._flushed >= self._config.flush_interval_s:
            self._flush(now)
        if self._what() != self._told_what or now - self._told >= (
            _STATUS_S if self._recording.dirty else _HEARTBEAT_S
        ):
            self._tell(now)

    def _quiet(self, now: float) -> None:
        """Nothing waits: flush what is new, then sleep until something comes."""
        if self._recording.dirty:
            if not self._poll(_QUIET_MS):
                self._flush(now)
            return
        self._offer_preview()
        gone = self._receiver.alone_for()
        if gone > self._config.sender_gone_s:
            sources = ", ".join(self._config.sources)
            self._execute(self._machine.sender_gone(f"the sender at {sources} has been gone for {gone:.1f} s"))
        self._poll(_SLEEP_MS)

    def _offer_preview(self) -> None:
        series = self._recording.series
        self._preview.offer(self._recording.last_stored, series.series_id if series else None)

    def _poll(self, timeout_ms: int) -> bool:
        """Waits for the stream or the supervisor; whether it is the stream."""
        ready = dict(self._poller.poll(timeout_ms))
        if self._link.fileno() in ready:
            for line in self._link.receive():
                self._obey(line)
        return self._receiver.socket in ready

    def _flush(self, now: float) -> None:
        self._flushed = now
        self._recording.flush()
        self._offer_preview()
        # A flush by the clock too: whoever waits for these frames must not wait for the next heartbeat.
        self._tell(now)

    # -- the supervisor -------------------------------------------------------------------------

    def _obey(self, line: Line) -> None:
        if not isinstance(line, Order):
            return
        try:
            self._carry_out(line)
        except RecorderError as error:
            answer = Answer(number=line.number, error=str(error))
        else:
            answer = Answer(number=line.number)
        self._tell(time.monotonic())
        self._link.send(answer)

    def _carry_out(self, order: Order) -> None:
        if order.what == "prepare" and (request := order.prepare) is not None:
            frames, size = request.frames_expected, request.frame_bytes
            self._recording.prepare(request.series_id, request.filename, frames, size)
        elif order.what == "stop":
            self._execute(self._machine.stop("stopped on request"))
        elif order.what == "reset":
            self._recording.reset()
        elif order.what == "exit":
            self._exit = True

    def _what(self) -> tuple[object, ...]:
        """What is told at once when it changes; a series that begins and ends in one batch is such a change too."""
        recording, series = self._recording, self._recording.series
        return recording.state, recording.reason, series and (series.series_id, series.state)

    def _tell(self, now: float) -> None:
        recording = self._recording
        self._told, self._told_what = now, self._what()
        try:
            free = recording.free_bytes()
        except RecorderError:
            free = None
        status = WriterStatus(
            state=recording.state,
            reason=recording.reason,
            live=self._live.endpoint,
            free_bytes=free,
            prepared=recording.prepared,
            connections=self._receiver.connections,
            series=recording.series,
            notes=recording.notes,
        )
        self._link.send(status)

    def _close(self) -> None:
        for part in (self._receiver, self._live, self._preview, self._link):
            part.close()
