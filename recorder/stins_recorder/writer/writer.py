"""The writer: receive, check, write, republish. It alone touches HDF5, and nothing else runs in its process."""

import logging
import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import zmq

from stins import Decoder, MessageError, StinsError
from stins.acks import Ack
from stins.control import PrepareRequest, RecorderState
from stins.receiver import Instruction
from stins.transport import AckSender, LivePublisher, Receiver, TransportError
from stins.transport.threads import undisturbing

from ..errors import RecorderError
from ..link import Answer, Begin, Line, Link, Order, WriterStatus
from ..pixels.frame_summary import SmallFrames
from ..recording.journal import Journal
from ..recording.recording import Recording
from ..recording.records import RECORDS, Record
from ..recording.recovery import Recovery
from ..shares import own_part
from ..watchdog import unwatched
from ..writer_config import WriterConfig
from .preview_feed import PreviewFeed
from .reporter import Reporter

__all__ = ["Writer"]

log = logging.getLogger(__name__)

#: How many messages, and for how long, are taken before the link and the connections are looked at again: on a slow
#: disk one message may take a tenth of a second, and who hears nothing for 3 s takes this process for dead.
_BATCH, _BATCH_S = 128, 0.1
#: How long a next frame may take before everything is flushed. A flush costs 0.1 to 0.5 ms.
_QUIET_S = 0.001
#: Behind a message that was waited for so long, no other is waited for: frames this far apart are flushed one by one in
#: any case, and each point of a step scan would lose 1.5 ms.
_ALONE_S = 0.005
_SLEEP_MS = 250
#: An ack says at least once a second that somebody acks.
_HEARTBEAT_S = 1.0
#: How often what is flushed is forced to the disk. Who closes a file waits for what came since: at 0.25 s that is a
#: quarter to a half less, but small and compressed frames lost a tenth of their rate.
_SYNC_S = 0.5
#: So much is flushed at once, however little time has passed: it is what the acquirer keeps at least.
_UNFLUSHED_BYTES = 64 << 20


class Writer:
    """One loop around the receiver's machine and the file."""

    @classmethod
    def record(cls, begin: Begin, link: Link, watch: Callable[[str], None]) -> int:
        """Records until it is told to exit, or the supervisor is gone; the exit status."""
        try:
            writer = cls(begin.config, link, begin.preview, live=begin.live, watch=watch, give_up=begin.give_up)
            if begin.prepared is not None:
                # The series may begin with this writer.
                writer.expect(begin.prepared)
        except StinsError as error:
            link.send(WriterStatus(state=RecorderState.FAULT, reason=str(error)))
            log.error("the writer ends: %s", error)  # noqa: TRY400  # the text says it all to whoever started it
            return 1
        signal.signal(signal.SIGTERM, lambda *_: writer.stop())
        writer.run()
        return 0

    def __init__(
        self,
        config: WriterConfig,
        link: Link,
        preview: str,
        *,
        live: str | None = None,
        watch: Callable[[str], None] = unwatched,
        give_up: str = "",
    ) -> None:
        self._config = config
        self._roots = [Path(root) for root in config.roots]
        self._link = link
        self._boot_id = uuid4().hex
        # A connection may break under a living sender. One that hears acks keeps what it has sent, and sends it again.
        self._patience_s = max(config.sender_gone_s, config.replay_timeout_s if config.acks else 0.0)
        self._decoder = Decoder(strict=config.strict)
        self._journal: Journal[Record] = Journal(self._roots[0], config.name, RECORDS)
        # A context of its own: ending it waits for the last ack.
        self._context: zmq.Context[zmq.Socket[bytes]] = undisturbing(zmq.Context())
        self._take_over(watch, give_up)
        self._connect(preview, live)
        self._exit = False
        self._flushed = self._acked = self._synced = 0.0
        self._alone = False
        self._unrelayed: list[memoryview] | None = None
        self._kept = self._machine.settled

    def _take_over(self, watch: Callable[[str], None], give_up: str) -> None:
        """The machine and the recording, as the writer before this one left them."""
        self._link.send(WriterStatus(state=RecorderState.RECOVERING))
        config, self._resumed = self._config, time.monotonic()
        watch("resume")
        recovered = Recovery(config, watch, give_up).recover(self._journal.found, self._resumed)
        self._machine = recovered.machine
        self._recording = Recording(
            self._roots,
            self._machine,
            config.reserve_bytes,
            name=config.name,
            journal=self._journal,
            frames_per_file=config.frames_per_file,
            watch=watch,
        )
        self._recording.take_over(recovered)
        watch("")
        self._awaits_sender = self._machine.account() is not None

    def _connect(self, preview: str, live: str | None) -> None:
        config, budget, context = self._config, self._config.budget_bytes, self._context
        self._receiver = Receiver(
            config.sources,
            budget_bytes=budget,
            max_message_bytes=config.max_message_bytes,
            patience_s=_QUIET_S,
            context=context,
        )
        try:
            self._live = self._republish(live or config.live)
        except TransportError:  # somebody took its port meanwhile
            self._live = self._republish(config.live)
        self._acks = AckSender(config.acks, context)
        self._preview, self._small_frames = PreviewFeed(preview, context), SmallFrames()
        self._reporter = Reporter(self._link, self._recording, self._receiver, self._live)
        self._poller = zmq.Poller()
        self._poller.register(self._receiver.socket, zmq.POLLIN)
        self._poller.register(self._link.fileno(), zmq.POLLIN)

    def _republish(self, endpoint: str) -> LivePublisher:
        config = self._config
        return LivePublisher(
            endpoint,
            budget_bytes=config.budget_bytes // 4,
            max_message_bytes=config.max_message_bytes,
            context=self._context,
        )

    def expect(self, request: PrepareRequest) -> None:
        """Of a series that a writer before was prepared for: which numbers of its frames are asked for."""
        self._recording.expect(request.series_id, request.numbers)

    def stop(self) -> None:
        """Lets `run` end after the present batch."""
        self._exit = True

    def run(self) -> None:
        """Until told to exit, or until the supervisor is gone."""
        self._ack(time.monotonic())
        self._reporter.tell(time.monotonic())
        while not self._exit and not self._link.closed:
            self._turn()
        self._end()
        self._reporter.tell(time.monotonic())
        self.close()

    def _turn(self) -> None:
        more = self._drain()
        now = time.monotonic()
        if not more and self._recording.dirty:
            # Before anything else: somebody may wait for just this frame.
            self._flush(now)
        self._relay()
        self._housekeeping(now)
        if more:
            self._poll(0)
        else:
            self._quiet(now)

    def _end(self) -> None:
        """An open series is left open where the sender sends again, or the supervisor died; else it ends."""
        if self._config.acks or not self._exit:
            self._recording.suspend()
        else:
            self._execute(self._machine.stop("the recorder was stopped"))
        self._ack(time.monotonic())

    def _drain(self) -> bool:
        """Takes a batch of messages; whether there may be more, or none is to be waited for.

        It waits inside ZeroMQ's receive: a poller beside it would cost each small frame 10 us.
        """
        receive, take, recording = self._receiver.receive, self._take, self._recording
        began = now = time.monotonic()
        alone, self._alone = self._alone, False
        for _ in range(_BATCH):
            parts = receive()
            if parts is None:
                return False
            take(parts, now, alone=alone)
            # The clock costs 50 ns, a small frame 40 µs.
            now = time.monotonic()
            if alone:
                return False
            if now - began > _BATCH_S or recording.unflushed_bytes > _UNFLUSHED_BYTES:
                break
        return True

    def _take(self, parts: list[memoryview], now: float, *, alone: bool = False) -> None:
        try:
            packet = self._decoder.decode(parts)
        except MessageError as error:
            self._execute(self._machine.refuse(error.message_id, str(error), now))
            return
        self._execute(self._machine.receive(packet, now))
        if alone:
            # Relayed once it is flushed: ZeroMQ's thread would wake now, and take its time from that.
            self._unrelayed = parts
        else:
            self._live.send(parts)

    def _relay(self) -> None:
        """Republishes the message that was taken last, if that was left for later."""
        parts, self._unrelayed = self._unrelayed, None
        if parts is not None:
            self._live.send(parts)

    def _execute(self, instructions: list[Instruction]) -> None:
        execute = self._recording.execute
        if len(instructions) == 1:  # as nearly always
            execute(instructions[0])
            return
        for done, instruction in enumerate(instructions, 1):
            execute(instruction, instructions[done:])

    def _housekeeping(self, now: float) -> None:
        self._execute(self._machine.tick(now))
        self._receiver.watch_connections()
        self._live.watch_subscribers()
        recording = self._recording
        if recording.dirty:
            due = now - self._flushed >= self._config.flush_interval_s
            if due or recording.unflushed_bytes > _UNFLUSHED_BYTES:
                self._flush(now, busy=True)
        elif self._machine.settled != self._kept or recording.safe.behind:
            self._keep(now)
        if now - self._acked >= _HEARTBEAT_S:
            self._ack(now)
        if now - self._synced >= _SYNC_S:
            self._synced = now
            recording.sync()
        self._reporter.look(now)

    def _quiet(self, now: float) -> None:
        """Nothing has come for a moment: flush what is new, or sleep until something comes."""
        if self._recording.dirty:
            self._flush(now)
            return
        self._reporter.flushed(now, more=False)
        wait_s = self._offer_preview(now)
        self._look_for_the_sender(now)
        waited = time.monotonic()
        self._poll(min(_SLEEP_MS, math.ceil(wait_s * 1000)) if wait_s else _SLEEP_MS)
        self._alone = time.monotonic() - waited > _ALONE_S

    def _look_for_the_sender(self, now: float) -> None:
        sources = ", ".join(self._config.sources)
        self._awaits_sender = self._awaits_sender and not self._receiver.connections
        if (gone := self._receiver.alone_for()) > self._patience_s:
            self._execute(self._machine.sender_gone(f"the sender at {sources} has been gone for {gone:.1f} s"))
        elif self._awaits_sender and now - self._resumed > self._config.replay_timeout_s:
            self._awaits_sender = False
            why = (
                f"the recorder went on with the series, and no sender was at {sources} for {now - self._resumed:.0f} s"
            )
            self._execute(self._machine.sender_gone(why))

    def _offer_preview(self, now: float, *, busy: bool = False) -> float:
        recording, series = self._recording, self._recording.series
        series_id = series.series_id if series else None
        return self._preview.offer(recording.last_stored, series_id, now, recording.masks, busy=busy)

    def _preview_before(self, now: float) -> None:
        """Each point of a scan waits for it: it comes with the account, or is computed while the frame is flushed."""
        frame = self._recording.last_stored
        if frame is not None and (preview := self._small_frames.look(frame, now, self._recording.masks)) is not None:
            self._reporter.saw(frame, preview)
            self._preview.passed(frame)
        else:
            self._offer_preview(now)

    def _poll(self, timeout_ms: int) -> bool:
        """Waits for the stream or the supervisor; whether it is the stream."""
        ready = dict(self._poller.poll(timeout_ms))
        if self._link.fileno() in ready:
            for line in self._link.receive():
                self._obey(line)
        return self._receiver.socket in ready

    def _flush(self, now: float, *, busy: bool = False) -> None:
        self._flushed = now
        if not busy:
            self._preview_before(now)
        self._recording.flush()
        self._kept = self._machine.settled
        # Whoever waits for these frames must wait neither for the next heartbeat nor for a preview; while more come, it
        # is said now and then.
        self._reporter.flushed(now, more=busy)
        self._ack(now)
        if busy:
            self._offer_preview(now, busy=True)

    def _keep(self, now: float) -> None:
        """Messages that changed no file need not come again either."""
        self._recording.keep()
        self._kept = self._machine.settled
        self._ack(now)

    def _ack(self, now: float) -> None:
        """Says how far everything is flushed; the first one after a restart asks for what is behind that."""
        self._acked = now
        series_id, message_id = self._recording.safe.settled
        self._acks.send(Ack(boot_id=self._boot_id, series_id=series_id, message_id=message_id))

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
        self._reporter.tell(time.monotonic())
        self._link.send(answer)

    def _carry_out(self, order: Order) -> None:
        if order.what == "prepare" and order.prepare is not None:
            request = own_part(self._roots, order.prepare)
            frames, size = request.frames_expected, request.frame_bytes
            self._recording.prepare(request.series_id, request.filename, frames, size, numbers=request.numbers)
        elif order.what == "stop":
            self._execute(self._machine.stop("stopped on request" + (f": {order.reason}" if order.reason else "")))
        elif order.what == "reset":
            self._recording.reset()
        elif order.what == "exit":
            self._exit = True

    def close(self) -> None:
        """Closes everything; the last ack has a moment to leave. Closing twice does no harm."""
        for part in (self._acks, self._receiver, self._live, self._preview):
            part.close()
        self._context.term()
        self._journal.close()
        self._link.close()
