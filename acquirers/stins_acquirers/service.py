"""The one loop that runs any backend: commands in, frames out."""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import UNSET

from stins import SeriesInfo, SeriesSender, StinsError, encode
from stins.control import AcquirerState, AcquirerStatus, ArmRequest, TriggerRequest
from stins.daemon import StatusBoard
from stins.messages import EndStatus, Header, Payload
from stins.transport import Link, Publisher

from .backend import Backend, Ending, Frame, Opening, WrapsLink
from .machine import AcquirerEvent, next_state

__all__ = ["Service"]

log = logging.getLogger(__name__)

_READ_S = 0.01
_IDLE_S = 0.5
_STATUS_S = 0.1
_COMMAND_DEADLINE_S = 30.0


class Service:
    """Runs `backend` in the calling thread; the commands may come from any other.

    Every command returns the status after it, or raises `StinsError` with what is wrong.
    """

    def __init__(self, name: str, backend_name: str, backend: Backend, publisher: Publisher, peer_timeout_s: float):
        self._name = name
        self._backend_name = backend_name
        self._backend = backend
        self._publisher = publisher
        self._link: Link = backend.wrap(publisher) if isinstance(backend, WrapsLink) else publisher
        self._peer_timeout_s = peer_timeout_s
        self._sender = SeriesSender()
        self._state = AcquirerState.IDLE
        self._reason = ""
        self._request: ArmRequest | None = None
        self._expected: int | None = None
        self._retake = False
        self._next_frame = 0
        self._calls: queue.SimpleQueue[tuple[Callable[[], None], Future[AcquirerStatus]]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._published = 0.0
        self._boot_id = uuid4().hex
        self.board = StatusBoard(self._status())

    # -- commands, from any thread --------------------------------------------------------------

    def arm(self, request: ArmRequest) -> AcquirerStatus:
        """Arms the detector and sends the series-start."""
        return self._call("arm", lambda: self._arm(request))

    def trigger(self, request: TriggerRequest) -> AcquirerStatus:
        """Takes frames."""
        return self._call("trigger", lambda: self._trigger(request))

    def disarm(self, _request: None = None) -> AcquirerStatus:
        """Ends the series in good order: what the detector still holds is sent first."""
        return self._call("disarm", lambda: self._finish("finished", ""))

    def abort(self, _request: None = None) -> AcquirerStatus:
        """Ends the series now."""
        return self._call("abort", lambda: self._finish("aborted", "aborted on request"))

    def reset(self, _request: None = None) -> AcquirerStatus:
        """Leaves FAULT."""
        return self._call("reset", self._reset)

    def configure(self, changes: Mapping[str, Any]) -> AcquirerStatus:
        """Sets some of the backend's settings."""
        return self._call("configure", lambda: self._configure(changes))

    def stop(self) -> None:
        """Lets `run` return."""
        self._stopping.set()
        self._calls.put((lambda: None, Future()))

    def _call(self, name: str, run: Callable[[], None]) -> AcquirerStatus:
        future: Future[AcquirerStatus] = Future()
        self._calls.put((run, future))
        try:
            return future.result(_COMMAND_DEADLINE_S)
        except FutureTimeout:
            raise StinsError(f"{self._name}: {name} not done within {_COMMAND_DEADLINE_S:g} s") from None

    # -- the loop -------------------------------------------------------------------------------

    def run(self) -> None:
        """Until `stop`: commands as they come, frames as the detector has them."""
        while not self._stopping.is_set():
            self._run_calls()
            if self._state is AcquirerState.ACQUIRING:
                self._guarded(self._step)
            self._publish()
        if self._state in (AcquirerState.ARMED, AcquirerState.ACQUIRING):
            self._guarded(lambda: self._finish("aborted", "the acquirer was stopped"))
        self._backend.close()

    def _run_calls(self) -> None:
        acquiring = self._state is AcquirerState.ACQUIRING
        try:
            run, future = self._calls.get_nowait() if acquiring else self._calls.get(timeout=_IDLE_S)
        except queue.Empty:
            return
        try:
            run()
        except StinsError as error:
            self._publish(now=True)
            future.set_exception(error)
        except Exception as error:  # a backend's bug must reach its caller and end in FAULT, not end the loop
            log.exception("%s: bug in the backend", self._name)
            self._fail(f"bug in the backend: {error!r}")
            future.set_exception(StinsError(f"{self._name}: bug in the backend: {error!r}"))
        else:
            self._publish(now=True)
            future.set_result(self.board.status)

    def _guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except StinsError as error:
            self._fail(str(error))
        except Exception as error:  # see _run_calls
            log.exception("%s: bug in the backend", self._name)
            self._fail(f"bug in the backend: {error!r}")

    def _step(self) -> None:
        for frame in self._backend.read(_READ_S):
            self._send_frame(frame)
        if (ending := self._backend.ending()) is not None:
            self._end(ending)
        elif not self._backend.triggered():
            self._state = next_state(self._state, AcquirerEvent.PAUSE)

    # -- what the commands do, in the loop's thread ----------------------------------------------

    def _arm(self, request: ArmRequest) -> None:
        state = next_state(self._state, AcquirerEvent.ARM)
        if not self._publisher.wait_for_room(self._peer_timeout_s):
            raise StinsError(
                f"{self._name}: arm: no recorder connected to {self._publisher.endpoint} "
                f"within {self._peer_timeout_s:g} s; is the recorder running, and is this its source?"
            )
        opening = self._backend.arm(request)
        try:
            self._open(request, opening)
        except StinsError:
            self._backend.disarm()
            raise
        self._state, self._reason = state, ""
        log.info("%s: armed for series %s", self._name, request.series_id)

    def _open(self, request: ArmRequest, opening: Opening) -> None:
        self._request = request
        self._expected = opening.frames_expected or request.frames_expected
        self._next_frame, self._retake = 0, False
        header = msgspec.structs.replace(
            opening.header,
            arm_time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            series=SeriesInfo(
                id=request.series_id,
                source=self._name,
                filename=request.filename,
                frames_expected=UNSET if self._expected is None else self._expected,
            ),
            detector_specific=_merged(opening.header.detector_specific, request.metadata),
        )
        self._send(self._sender.start(header), opening.payload)

    def _trigger(self, request: TriggerRequest) -> None:
        state = next_state(self._state, AcquirerEvent.TRIGGER)
        self._retake = request.first_frame is not None and request.first_frame < self._next_frame
        self._backend.trigger(request)
        self._state = state

    def _finish(self, status: EndStatus, reason: str) -> None:
        if self._state not in (AcquirerState.ARMED, AcquirerState.ACQUIRING):
            return
        self._backend.disarm()
        for frame in self._backend.read(0.0) if status == "finished" else ():
            self._send_frame(frame)
        self._end(Ending(status=status, reason=reason))

    def _reset(self) -> None:
        self._finish("aborted", "reset on request")
        self._state, self._reason = next_state(self._state, AcquirerEvent.RESET), ""

    def _configure(self, changes: Mapping[str, Any]) -> None:
        state = next_state(self._state, AcquirerEvent.CONFIGURE)
        self._backend.configure(changes)
        self._state = state

    def _fail(self, reason: str) -> None:
        log.error("%s: %s", self._name, reason)
        was_open = self._state in (AcquirerState.ARMED, AcquirerState.ACQUIRING)
        self._state, self._reason = next_state(self._state, AcquirerEvent.FAIL), reason
        if was_open:
            self._backend.disarm()
            end = self._sender.end("failed", reason)
            self._link.send([encode(end)], self._peer_timeout_s)
        self._publish(now=True)

    # -- messages -------------------------------------------------------------------------------

    def _send_frame(self, frame: Frame) -> None:
        message = self._sender.data(
            frame.number,
            frames=frame.count,
            data=frame.parts or UNSET,
            frame=frame.layout,
            timestamp=frame.timestamp,
            acquisition_timestamp=frame.acquisition_timestamp,
            discard=frame.discard,
            retake=True if self._retake else UNSET,
            detector_specific=frame.detector_specific,
        )
        parts = (encode(message), *frame.payload)
        if self._link.send(parts) or (self._backend.can_wait and self._link.send(parts, self._peer_timeout_s)):
            self._retake = False
        elif self._backend.can_wait:
            self._sender.unsend(message, frame.count)
            raise StinsError(self._not_taken(f"frame {frame.number}"))
        else:
            self._sender.unsend(message, frame.count)
        self._next_frame = frame.number + frame.count

    def _end(self, ending: Ending) -> None:
        end = self._sender.end(ending.status, ending.reason or UNSET, ending.detector_specific)
        self._state = next_state(self._state, AcquirerEvent.END)
        self._send(end, ())
        log.info("%s: series ended, %d frames sent, %d dropped", self._name, self._sender.frames_sent, self.dropped)

    def _send(self, header: Header, payload: tuple[Payload, ...]) -> None:
        if not self._link.send((encode(header), *payload), self._peer_timeout_s):
            raise StinsError(self._not_taken(header.__struct_config__.tag))

    def _not_taken(self, what: object) -> str:
        return (
            f"{self._name}: no recorder took {what} from {self._publisher.endpoint} "
            f"within {self._peer_timeout_s:g} s; is the recorder running, and fast enough?"
        )

    # -- status ---------------------------------------------------------------------------------

    @property
    def dropped(self) -> int:
        """Frames of this series that had to be dropped."""
        return self._sender.frames_dropped

    def _publish(self, *, now: bool = False) -> None:
        moment = time.monotonic()
        if now or self._state is not self.board.status.state or moment - self._published > _STATUS_S:
            self._published = moment
            self.board.publish(self._status())

    def _status(self) -> AcquirerStatus:
        return AcquirerStatus(
            name=self._name,
            backend=self._backend_name,
            state=self._state,
            reason=self._reason,
            boot_id=self._boot_id,
            pid=os.getpid(),
            stream=self._publisher.endpoint,
            series_id=self._request.series_id if self._request else None,
            frames_sent=self._sender.frames_sent,
            frames_dropped=self._sender.frames_dropped,
            frames_expected=self._expected,
            frame=self._backend.describe(),
            settings=self._backend.settings.model_dump(mode="json"),
            units=_units(self._backend),
        )


def _merged(own: Any, metadata: Mapping[str, Any]) -> Any:
    """The detector's free content and the user's meta data, the latter under a key of its own."""
    if not metadata:
        return own
    return {**(own or {}), "metadata": dict(metadata)}


def _units(backend: Backend) -> dict[str, str]:
    fields = backend.Settings.model_fields.items()
    extras = {name: field.json_schema_extra for name, field in fields}
    return {name: str(extra["unit"]) for name, extra in extras.items() if isinstance(extra, dict) and "unit" in extra}
