"""The supervisor: HTTP control and status; starts the writer, watches it, starts another when it dies."""

import logging
import os
import threading
import time
from uuid import uuid4

import msgspec

from stins.control import (
    JoinRequest,
    PrepareRequest,
    Preview,
    RecorderState,
    RecorderStatus,
    SeriesState,
    SeriesStatus,
    StopRequest,
)
from stins.daemon import StatusBoard

from ..config import RecorderConfig
from ..errors import RecorderError
from ..join import run_join, run_show
from ..link import Answer, Begin, Order, OrderKind, WriterStatus
from ..numbers import NumbersKeeper
from ..recording.account import cut_short
from ..watchdog import HangWatch
from .orders import Orders
from .preview import PreviewReader
from .restarts import Restarts
from .salvager import Salvager
from .writer_process import WriterProcess

__all__ = ["Supervisor"]

log = logging.getLogger(__name__)

_START_DEADLINE_S = 30.0
_SILENCE_S = 3.0
_POLL_S = 0.25
#: A spare writer is started when the present one has settled: loading its libraries takes a core for 0.3 s.
_SPARE_AFTER_S = 1.0
_GOES_ON = "it goes on when the file system does, /reset kills it and starts another"
#: When the system could not start a process (no memory, no number for it), it is asked again after so long.
_NO_PROCESS_S = 2.0


class Supervisor:
    """Holds the recorder's status and passes orders on to the writer.

    `first` is a process in waiting that becomes the writer. Commands may come from any thread; each raises
    `RecorderError` with what is wrong.
    """

    def __init__(self, config: RecorderConfig, first: WriterProcess | None = None) -> None:
        self._config = config
        self._orders = Orders()
        self._writer: WriterProcess | None = None
        self._spare = first
        self._stopping = threading.Event()
        self._restarts = Restarts()
        self._hang, self._hang_beside = HangWatch(), HangWatch()
        self._beside = ""  # says that the sync beside the recording hangs
        self._heard = self._pause_s = self._spare_due = 0.0
        self._silent = False
        self._said: WriterStatus | None = None
        # Of the writer before this one: how it died, in which series, and why that is not gone on with.
        self._death = self._give_up = ""
        self._died_in: str | None = None
        # Writers die again and again with no series open: FAULT until somebody has seen it, or a series begins.
        self._fault = ""
        self._publishing = threading.Lock()
        self._notes: tuple[str, ...] = ()
        self.board = StatusBoard(
            RecorderStatus(
                name=config.name,
                state=RecorderState.IDLE,
                boot_id=uuid4().hex,
                pid=os.getpid(),
                sources=tuple(config.sources),
                root=str(config.roots[0]),
                roots=tuple(map(str, config.roots)),
            )
        )
        self._salvager = Salvager()
        self._preview_of: tuple[str | None, Preview | None] = (None, None)
        self._preview = PreviewReader(self._previewed)
        # What the writer says of the series, without how far its numbers are.
        self._account: SeriesStatus | None = None
        self._prepared: PrepareRequest | None = None
        self._numbers = NumbersKeeper(self._publish, config.numbers_bytes_per_s)

    # -- commands, from any thread --------------------------------------------------------------

    def prepare(self, request: PrepareRequest) -> RecorderStatus:
        """Checks path and room for a series to come."""
        if request.numbers is not None:
            self._numbers.expect()
        status = self._order("prepare", request)
        # What the writer has refused is nothing for another one to expect.
        self._prepared = request
        return status

    def stop_series(self, request: StopRequest) -> RecorderStatus:
        """Ends the open series as incomplete."""
        return self._order("stop", reason=request.reason)

    def reset(self, _request: None = None) -> RecorderStatus:
        """Leaves FAULT; a writer that hangs is killed, and another goes on with its series."""
        self._fault = ""
        self._salvager.again()
        writer = self._writer
        if writer is not None and (self._silent or self.board.status.step):
            log.warning("%s: the writer (process %d) is killed on request", self._config.name, writer.pid)
            writer.kill()
            return self.board.status
        return self._order("reset")

    def join(self, request: JoinRequest) -> RecorderStatus:
        """Joins the parts of a shared series, of which this recorder may have one, in one file."""
        self._publish(joined=run_join(self._config.roots, request))
        return self.board.status

    def show(self, request: JoinRequest) -> RecorderStatus:
        """Shows the parts of a shared series as one file while they are written."""
        run_show(self._config.roots, request)
        return self.board.status

    def hide(self, request: JoinRequest) -> RecorderStatus:
        """Takes away what `show` has made: frames were discarded, and the rows are not in turn any more."""
        run_show(self._config.roots, request, hide=True)
        return self.board.status

    def stop(self) -> None:
        """Lets `run` end."""
        self._stopping.set()

    def _order(self, what: OrderKind, prepare: PrepareRequest | None = None, *, reason: str = "") -> RecorderStatus:
        try:
            self._orders.give(what, prepare, reason=reason)
        except RecorderError as error:
            raise RecorderError(f"{self._config.name}: {error}") from None
        return self.board.status

    # -- the writer's life ----------------------------------------------------------------------

    def start(self) -> None:
        """Starts the writer; returns once it has reported.

        Raises:
            RecorderError: it ended at once, or did not report in time.
        """
        self._begin()
        deadline = time.monotonic() + _START_DEADLINE_S + self._config.resume_limit_s
        while self.board.status.live is None:
            if self._listen():
                self._watch(time.monotonic())
                gone = time.monotonic() > deadline
            else:
                # One that died of an old file is followed by one that does not touch it; any other cause stays.
                gone = not self._resuming
                self._bury()
                if not gone:
                    self._begin()
            if gone:
                raise RecorderError(
                    f"{self._config.name}: the writer did not start: "
                    f"{self._said.reason if self._said else 'see its messages above'}"
                )
        # The writer says which file it had to leave; these are those of recorders before.
        self._salvager.look(self._config.roots[0], self._config.name)

    def run(self) -> None:
        """Until `stop`: status in, and a new writer when this one dies."""
        while not self._stopping.is_set():
            if self._listen():
                self._watch(time.monotonic())
            else:
                self._bury()
                if not self._stopping.wait(self._pause_s):
                    self._begin()

    @property
    def _resuming(self) -> bool:
        """Whether the writer is opening the file of an open series."""
        return self._said is not None and self._said.state is RecorderState.RECOVERING

    def _begin(self) -> None:
        """The spare, or else a new process, becomes the writer."""
        writer, self._spare = self._spare, None
        if writer is not None and not writer.alive:
            writer.end()
            writer = None
        writer = writer or self._start_process()
        if writer is None:
            self._pause_s = _NO_PROCESS_S
            return
        config, live = self._config.for_writer(), self.board.status.live
        writer.begin(
            Begin(
                config=config,
                preview=self._preview.endpoint,
                live=live,
                give_up=self._give_up,
                prepared=self._prepared,
            )
        )
        self._give_up, self._said, self._silent, self._beside = "", None, False, ""
        self._hang, self._hang_beside = HangWatch(), HangWatch()
        began = time.monotonic()
        self._heard, self._spare_due = began + _START_DEADLINE_S - _SILENCE_S, began + _SPARE_AFTER_S
        self._restarts.begun(began)
        self._writer = writer
        self._orders.give_to(writer.link)

    def _start_process(self) -> WriterProcess | None:
        """None where the system has no room for another one; the writer that lives must not suffer from that."""
        try:
            return WriterProcess()
        except OSError as error:
            again = f"{error}; trying again in {_NO_PROCESS_S:g} s"
            log.warning("%s: cannot start a process: %s", self._config.name, again)
            if self._writer is None:
                self._publish(state=RecorderState.FAULT, reason=f"{self._death}; no other can be started: {again}")
            return None

    def _listen(self) -> bool:
        """Reads what the writer says for a moment; False once it has gone."""
        writer = self._writer
        if writer is None:
            return False
        for line in writer.listen(_POLL_S):
            self._heard, self._silent = time.monotonic(), False
            if isinstance(line, WriterStatus):
                self._told(line)
            elif isinstance(line, Answer):
                self._orders.answered(line)
        return not writer.link.closed

    def _bury(self) -> None:
        """The writer is gone: say so, with the reason; another is to go on with its series."""
        self._orders.give_to(None)
        writer, self._writer = self._writer, None
        if writer is None:
            return
        step = writer.page.read()[1]
        how = writer.end() + (f" in {step}" if step else "")
        series = self.board.status.series
        achieved = (series.series_id, series.state, series.received) if series else None
        verdict = self._restarts.died(time.monotonic(), achieved=achieved, resuming=self._resuming)
        self._pause_s = verdict.pause_s
        self._death = f"the writer (process {writer.pid}) died: {how}"
        self._died_in = series.series_id if series else None
        if verdict.give_up:
            self._fault = self._give_up = self._death
        when = f"in {verdict.pause_s:g} s" if verdict.pause_s else "at once"
        reason = f"{self._death}; another is started {when}"
        log.error("%s: %s", self._config.name, reason)
        state = RecorderState.FAULT if verdict.give_up else RecorderState.RECOVERING
        self._publish(state=state, reason=reason, step="", restarts=self._restarts.total)

    def _watch(self, now: float) -> None:
        """Says which call the writer hangs in while it hangs; has a spare ready for when it dies."""
        writer = self._writer
        if writer is None:
            return
        seen = writer.page.read()
        step, hung_s = seen[1], self._hang.look(seen, now)
        beside_s = self._hang_beside.look(writer.page.read(beside=True), now)
        self._beside = f"the disk has been asked to sync for {beside_s:.0f} s" * (beside_s > self._config.call_limit_s)
        if self._resuming and now - self._heard > self._config.resume_limit_s:
            self._give_up = f"going on with the file took longer than {self._config.resume_limit_s:g} s"
            writer.kill()
        elif hung_s > self._config.call_limit_s:
            self._hangs(step, f"the writer has been in {step} for {hung_s:.0f} s")
        elif not hung_s and not self._silent and now - self._heard > _SILENCE_S:
            self._silent = True
            reason = f"the writer has not answered for {_SILENCE_S:g} s; /reset kills it and starts another"
            log.error("%s: %s", self._config.name, reason)
            self._publish(state=RecorderState.FAULT, reason=reason)
        elif self._beside:
            self._hangs("sync", self._beside)
        elif self.board.status.step:
            self._publish(step="", reason=self._said.reason if self._said else "")
        elif self._spare is None and now > self._spare_due:
            self._spare_due = now + _NO_PROCESS_S
            self._spare = self._start_process()

    def _hangs(self, step: str, how: str) -> None:
        reason = f"{how}; {_GOES_ON}"
        if self.board.status.step != step:
            log.error("%s: %s", self._config.name, reason)
        self._publish(step=step, reason=reason)

    # -- status ---------------------------------------------------------------------------------

    def _told(self, status: WriterStatus) -> None:
        self._said = status
        series = status.series or self._account
        if status.state in (RecorderState.READY, RecorderState.RECORDING) or series != self._account:
            self._fault = ""
        if status.series is None and series is not None:
            series = self._forgotten(series, status)
        if status.unclosed:
            self._salvager.salvage(status.unclosed, status.reason)
        if series and series.state is SeriesState.COMPLETE and series != self._account:
            # The disk works: what it refused before may be tried again.
            self._salvager.again()
        if status.preview is not None and series is not None:
            self._preview_of = (series.series_id, status.preview)
        # Before it is shown: with it come its numbers.
        self._numbers.look(series)
        # Both outlive the death as long as the series does.
        ours = series is not None and series.series_id == self._died_in
        death = (self._death,) if self._death and ours else ()
        self._publish(
            series,
            state=RecorderState.FAULT if self._fault else status.state,
            reason=self._fault or (f"{self._beside}; {_GOES_ON}" if self._beside else status.reason),
            step="sync" if self._beside else "",
            live=status.live or self.board.status.live,
            free_bytes=status.free_bytes,
            prepared=status.prepared,
            notes=(*death, *status.notes, *self._salvager.notes),
            writer_pid=self._writer.pid if self._writer else None,
        )

    def _forgotten(self, series: SeriesStatus, status: WriterStatus) -> SeriesStatus:
        """The series of before, of which the present writer knows nothing: an open one is lost, which is a FAULT."""
        if series.state is not SeriesState.OPEN or status.state is RecorderState.RECOVERING:
            return series
        self._fault = f"{self._death}; {status.reason or 'no journal says how to go on with the file'}"
        if series.file:
            self._salvager.salvage(series.file, self._fault)
            series = cut_short(series)
        return msgspec.structs.replace(series, state=SeriesState.FAILED, reason=self._fault)

    def _previewed(self, series_id: str | None, preview: Preview) -> None:
        """Shows it; one that has overtaken the account of its frame (flushed or not) comes with that, in one status."""
        self._preview_of = (series_id, preview)
        with self._publishing:
            account = self._account
            early = account is None or account.series_id != series_id or account.rows <= preview.row
        if not early:
            self._publish()

    def _publish(
        self, account: SeriesStatus | None = None, /, notes: tuple[str, ...] | None = None, **changes: object
    ) -> None:
        """Shows all that has changed at once: an account never comes with the state of the one before."""
        with self._publishing:
            self._account = account or self._account
            self._notes = self._notes if notes is None else notes
            # Inside the lock: a preview published beside a status would put the older account back.
            series = None if self._account is None else self._numbers.shown(self._account)
            # Those of the numbers come and go between two words of the writer.
            told = (*self._notes, *self._numbers.notes)
            status = msgspec.structs.replace(self.board.status, series=series, notes=told, **changes)
            # A preview may overtake the account of its series, and must not outlive it.
            series_id, preview = self._preview_of
            if series is None or preview is None or series.series_id != series_id:
                preview = None
            self.board.publish(msgspec.structs.replace(status, preview=preview))

    def shut_down(self) -> None:
        """The writer closes its file and ends; one that doesn't is killed. Doing it twice does no harm."""
        self._orders.give_to(None)
        if self._writer is not None:
            self._writer.link.send(Order(number=0, what="exit"))
        for process in (self._writer, self._spare):
            if process is not None:
                process.end()
        self._writer = self._spare = None
        self._numbers.close()
        self._salvager.close()
        self._preview.close()
