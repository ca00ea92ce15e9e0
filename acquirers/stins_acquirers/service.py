"""The one loop that runs any backend: commands in, frames out."""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET

from stins import StinsError
from stins.control import AcquirerState, AcquirerStatus, ArmRequest, PulseRequest, TriggerRequest
from stins.messages import EndStatus

from .backend import (
    Backend,
    CanAbort,
    Ending,
    Frame,
    HardwareError,
    KnowsAbsence,
    KnowsArming,
    KnowsUnanswered,
    TakesPulses,
)
from .backlog import Backlog, WhenFull
from .calls import Call, CallQueue
from .dealing import outbox_of
from .look import busy_of, look_at
from .losses import DetectorLosses
from .machine import AcquirerEvent, next_state
from .opening import check_request, series_header
from .presence import News, Presence
from .report import Report, Standing
from .streams import Streams
from .surroundings import Surroundings

__all__ = ["Service"]

log = logging.getLogger(__name__)

_READ_S = 0.01
_IDLE_S = 0.5
#: How often there is a look at what has not to be done with each frame.
_ATTEND_S = 0.01
#: While messages are not acked: how often it is looked whether they are now.
_UNACKED_S = 0.02
#: While the detector is busy: how often it is looked whether it still is.
_BUSY_S = 0.1
#: A command may wait for the one before it and for a detector; waiting for a recorder comes on top, twice in `arm`.
_COMMAND_S = 30.0
#: What the detector still holds when it is disarmed may take as long as this many frames that wait for a recorder.
_REST = 3
_NOTHING_AROUND = Surroundings()
# Looked up once: an enumeration is six times as slow as a module, and these are asked for with each frame.
_ARMED: Final = AcquirerState.ARMED
_ACQUIRING: Final = AcquirerState.ACQUIRING
_OPEN = (_ARMED, _ACQUIRING)


class Service:
    """Runs `backend` in the calling thread; the commands may come from any other.

    Every command returns the status after it, or raises `StinsError` with what is wrong.
    """

    def __init__(
        self,
        name: str,
        backend_name: str,
        backend: Backend,
        streams: Streams,
        *,
        peer_timeout_s: float,
        when_full: WhenFull = "drop",
        surroundings: Surroundings = _NOTHING_AROUND,
    ) -> None:
        self._name = name
        self._backend = backend
        self._losses = DetectorLosses(name, backend)
        # Seen once: it takes 0.1 ms, which each turn of the loop would have to wait.
        self._absence = backend if isinstance(backend, KnowsAbsence) else None
        self._streams = streams
        self._surroundings = surroundings
        self._peer_timeout_s = peer_timeout_s
        self._outbox = outbox_of(name, backend, streams, peer_timeout_s)
        self._backlog = Backlog(self._outbox, lambda: backend.can_wait, peer_timeout_s, when_full)
        self._calls: CallQueue[AcquirerStatus] = CallQueue(name, _COMMAND_S + 2 * peer_timeout_s)
        self._state = AcquirerState.IDLE
        self._reason = ""
        self._presence = Presence()
        self._request: ArmRequest | None = None
        self._expected: int | None = None
        self._shown, self._attended = self._state, 0.0
        self._stopping = False
        self._look = look_at(backend)
        self._report = Report(name, backend_name, streams, self._outbox, self._look)
        self.board = self._report.board
        self._guarded(self._look_whether_there)

    # -- commands, from any thread --------------------------------------------------------------

    def arm(self, request: ArmRequest) -> AcquirerStatus:
        """Arms the detector and sends the series-start."""
        longer_s = self._backend.arming_s if isinstance(self._backend, KnowsArming) else 0.0
        return self._calls.call("arm", lambda: self._arm(request), longer_s=longer_s, meanwhile=self._say_unanswered)

    def trigger(self, request: TriggerRequest) -> AcquirerStatus:
        """Takes frames."""
        return self._calls.call("trigger", lambda: self._trigger(request))

    def disarm(self, _request: None = None) -> AcquirerStatus:
        """Ends the series in good order: what the detector still holds is sent first."""
        return self._calls.call("disarm", lambda: self._finish("finished", ""))

    def abort(self, _request: None = None) -> AcquirerStatus:
        """Ends the series now."""
        return self._calls.call("abort", lambda: self._finish("aborted", "aborted on request"))

    def reset(self, _request: None = None) -> AcquirerStatus:
        """Leaves FAULT."""
        return self._calls.call("reset", self._reset)

    def configure(self, changes: Mapping[str, Any]) -> AcquirerStatus:
        """Sets some of the backend's settings."""
        return self._calls.call("configure", lambda: self._configure(changes))

    def pulse(self, request: PulseRequest) -> AcquirerStatus:
        """Pulses on the trigger input of a simulated detector."""
        return self._calls.call("pulse", lambda: self._pulse(request))

    def stop(self) -> None:
        """Lets `run` return; a signal handler may call it."""
        self._stopping = True
        self._calls.close()

    # -- the loop -------------------------------------------------------------------------------

    def run(self) -> None:
        """Until `stop`: commands as they come, frames as the detector has them."""
        try:
            while not self._stopping:
                reads = self._reads()
                if (call := self._calls.next(0.0 if reads else self._pause_s())) is not None:
                    self._answer(call)
                    reads = self._reads()
                if self._state not in _OPEN:
                    self._guarded(self._look_whether_there)
                    self._guarded(self._look_whether_busy)
                if reads:
                    self._guarded(self._step)
                elif self._streams.waiting:
                    self._streams.wait_for_room(_READ_S)
                if self._state is not self._shown:
                    # What was just sent goes first: ZeroMQ's thread may wait for this very core.
                    os.sched_yield()
                    self._attend()
                elif time.monotonic() - self._attended > _ATTEND_S:
                    self._attend()
            self._guarded(lambda: self._finish("aborted", "the acquirer was stopped"))
            self._publish(now=True)
            self._streams.drain(self._peer_timeout_s)
        finally:
            self._calls.refuse_rest()
            self._backend.close()

    def _attend(self) -> None:
        """What has not to be done with each frame: acks are heard, and it is said how things are."""
        self._attended = time.monotonic()
        self._streams.service()
        self._publish()

    def _reads(self) -> bool:
        """Whether frames may come: those of an external trigger come without a command."""
        if self._state is _ACQUIRING:
            return True
        external = self._request is not None and self._request.trigger_mode == "external"
        return self._state is _ARMED and external

    def _pause_s(self) -> float:
        """For how long there is nothing to do but to wait for a command."""
        if self._streams.waiting:
            return 0.0
        if self._streams.unacked:
            return _UNACKED_S
        return _BUSY_S if self._look.busy else _IDLE_S

    def _look_whether_busy(self) -> None:
        """What the detector is busy with may end, or begin with a command that was refused for it."""
        if busy_of(self._backend) != self._look.busy:
            self._look = look_at(self._backend)

    def _look_whether_there(self) -> None:
        """Hardware that was not there is a FAULT, which ends by itself once it is."""
        if self._absence is None:
            return
        try:
            absent = self._absence.absent()
        except Exception:
            # It is there, but cannot be used: that is a FAULT of its own, and shown is what is known of it.
            self._presence.forget()
            self._look = look_at(self._backend)
            raise
        fault = self._reason if self._state is AcquirerState.FAULT else None
        news = self._presence.look(absent, fault, time.monotonic())
        if news is News.AWAY:
            self._fail(absent)
        elif news is not News.NONE:
            self._welcome(news)

    def _welcome(self, news: News) -> None:
        log.info("%s: the hardware is there now", self._name)
        self._look = look_at(self._backend)
        if news is News.WELL:
            self._state, self._reason = next_state(self._state, AcquirerEvent.RESET), ""
        self._publish(now=True)

    def _say_unanswered(self) -> None:
        """In the thread of whoever waits for `arm`, because that holds up the loop."""
        if not isinstance(self._backend, KnowsUnanswered):
            return
        said_before = self.board.status.busy
        if (text := self._report.say_unanswered(self._backend.unanswered)) and not said_before:
            log.warning("%s: %s", self._name, text)

    def _answer(self, call: Call[AcquirerStatus]) -> None:
        try:
            call.run()
        except HardwareError as error:
            self._fail(str(error))
            call.fail(error)
        except StinsError as error:
            self._publish(now=True)
            call.fail(error)
        except Exception as error:  # a backend's bug must reach its caller and end in FAULT, not end the loop
            log.exception("%s: %s: bug in the backend", self._name, call.name)
            self._fail(f"bug in the backend: {error!r}")
            call.fail(StinsError(f"{self._name}: {call.name}: bug in the backend: {error!r}"))
        else:
            self._publish(now=True)
            if not call.finish(self.board.status) and call.name == "arm":
                # It was told that arming had failed, and nobody would end the series.
                self._guarded(lambda: self._finish("aborted", "whoever armed it had given up waiting"))

    def _guarded(self, run: Callable[[], object]) -> None:
        try:
            run()
        except StinsError as error:
            self._fail(str(error))
        except Exception as error:  # see _answer
            log.exception("%s: bug in the backend", self._name)
            self._fail(f"bug in the backend: {error!r}")

    def _step(self) -> None:
        if self._backlog.empty():
            self._read()
        if not self._backlog.send():
            # In small steps, so that commands are heard meanwhile.
            self._streams.wait_for_room(_READ_S)
        elif (ending := self._backend.ending()) is not None:
            try:
                self._end(ending)
            finally:
                self._backend.disarm()
        elif self._state is _ACQUIRING and not self._backend.triggered():
            self._state = next_state(self._state, AcquirerEvent.PAUSE)

    def _read(self) -> None:
        frames = self._backend.read(_READ_S)
        self._take_in(frames)
        if frames and self._state is _ARMED:
            self._state = next_state(self._state, AcquirerEvent.TRIGGER)

    def _take_in(self, frames: Sequence[Frame]) -> None:
        self._backlog.add(frames)
        if self._losses.name(frames) and not self.board.status.frames_not_given:
            # Before the recorder hears that they are missing: whoever it tells that knows whose doing it is.
            self._publish(now=True)

    # -- what the commands do, in the loop's thread ----------------------------------------------

    def _arm(self, request: ArmRequest) -> None:
        state = next_state(self._state, AcquirerEvent.ARM)
        check_request(request)
        if (endpoint := self._streams.wait_for_peers(self._peer_timeout_s)) is not None:
            raise StinsError(
                f"{self._name}: arm: no recorder connected to {endpoint} "
                f"within {self._peer_timeout_s:g} s; is the recorder running, and is this its source?"
            )
        try:
            opening = self._backend.arm(request)
            expected = request.frames_expected if opening.frames_expected is UNSET else opening.frames_expected
            look = look_at(self._backend)
            header = series_header(self._name, request, opening, expected, self._surroundings)
            self._outbox.open(header, opening.payload)
        except Exception:
            self._disarm_again()
            raise
        self._presence.forget()
        self._look = look
        self._request, self._expected = request, expected
        self._losses.begin()
        self._state, self._reason = state, ""
        log.info("%s: armed for series %s", self._name, request.series_id)

    def _disarm_again(self) -> None:
        """Behind an arm that failed: why it did is what whoever armed is to read, and not what this says."""
        try:
            self._backend.disarm()
        except Exception:
            log.exception("%s: disarm after an arm that failed", self._name)

    def _trigger(self, request: TriggerRequest) -> None:
        state = next_state(self._state, AcquirerEvent.TRIGGER)
        first, following = request.first_frame, self._outbox.next_frame
        if first is not None and not 0 <= first <= following:
            raise StinsError(f"{self._name}: trigger: first_frame: got {first}, expected 0 to {following}, the next")
        self._backend.trigger(request)
        if first is not None:
            self._outbox.rewind(first)
        self._state = state

    def _pulse(self, request: PulseRequest) -> None:
        if not isinstance(self._backend, TakesPulses):
            raise StinsError(f"{self._name}: pulse: this detector's input is a cable, expected a simulated one")
        self._backend.pulse(request)

    def _finish(self, status: EndStatus, reason: str) -> None:
        if self._state not in _OPEN:
            return
        ending = Ending(status=status, reason=reason)
        try:
            if status == "finished":
                self._backend.disarm()
                self._send_rest()
                ending = self._backend.ending() or ending
            else:
                ending = self._with_losses(ending)
                self._abort()
        except Exception as error:  # the series must end, whatever the backend does
            self._fail(f"cannot end the series in good order: {error}")
            raise
        try:
            self._end(ending)
        except StinsError as error:
            self._fail(str(error))
            raise

    def _abort(self) -> None:
        if isinstance(self._backend, CanAbort):
            self._backend.abort()
        else:
            self._backend.disarm()

    def _with_losses(self, ending: Ending) -> Ending:
        """Whoever aborts a series may do so because of what it has lost: the backend's word on that is in the file too.

        It is asked before the abort, behind which it knows of no series.
        """
        why = self._losses.ask() if self._losses.count else ""
        reason = f"{ending.reason}; {why}" if why else ending.reason
        return msgspec.structs.replace(ending, reason=reason, frames_dropped=self._losses.unnamed)

    def _send_rest(self) -> None:
        deadline_s = _REST * self._peer_timeout_s
        deadline = time.monotonic() + deadline_s
        while True:
            if not self._backlog.send():
                self._streams.wait_for_room(_READ_S)
            elif frames := self._backend.read(0.0):
                self._take_in(frames)
            else:
                return
            if self._stopping:
                raise StinsError(f"{self._name}: the acquirer was stopped while the detector still held frames")
            if time.monotonic() > deadline:
                raise StinsError(f"{self._name}: the detector still held frames {deadline_s:g} s after it was disarmed")

    def _reset(self) -> None:
        self._finish("aborted", "reset on request")
        self._state, self._reason = next_state(self._state, AcquirerEvent.RESET), ""

    def _configure(self, changes: Mapping[str, Any]) -> None:
        state = next_state(self._state, AcquirerEvent.CONFIGURE)
        self._backend.configure(changes)
        self._look = look_at(self._backend)
        self._state = state

    def _end(self, ending: Ending) -> None:
        self._losses.end(ending.frames_dropped)
        if self._losses.count:
            self._losses.ask()
            # Before the recorder hears of the end, as in mid-series; what the backend does behind it may take long.
            self._publish(now=True)
        self._state = next_state(self._state, AcquirerEvent.END)
        self._backlog.drop()
        self._outbox.close(ending)
        sent, dropped, why = self._outbox.sent, self._outbox.dropped, self._losses.why
        log.info("%s: series ended, %d frames sent, %d dropped%s", self._name, sent, dropped, f": {why}" if why else "")

    def _fail(self, reason: str) -> None:
        log.error("%s: %s", self._name, reason)
        was_open = self._state in _OPEN
        self._state, self._reason = next_state(self._state, AcquirerEvent.FAIL), reason
        self._publish(now=True)
        if not was_open:
            return
        ending = Ending(status="failed", reason=reason)
        try:
            # Before the abort, behind which the backend knows of no series.
            ending = msgspec.structs.replace(ending, frames_dropped=self._losses.unnamed)
            self._abort()
        except Exception:  # FAULT already says what went wrong first
            log.exception("%s: abort after a failure", self._name)
        self._losses.end(ending.frames_dropped)
        try:
            self._backlog.drop()
            self._outbox.close(ending)
        except StinsError as error:
            log.warning("%s: %s", self._name, error)

    # -- status ---------------------------------------------------------------------------------

    def _publish(self, *, now: bool = False) -> None:
        self._shown = self._state
        self._losses.glance()
        standing = self._standing
        if now or self._report.is_due(standing, self._look):
            self._report.publish(standing, self._look)

    @property
    def _standing(self) -> Standing:
        series_id = self._request.series_id if self._request else None
        not_given, why = self._losses.count, self._losses.why
        return Standing(self._state, self._reason, series_id, self._expected, not_given, why)
