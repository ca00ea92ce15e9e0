"""EIGER, EIGER2 and PILATUS4: what their DCU can do over SIMPLON, and the stream that it sends."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

import msgspec
from msgspec import UNSET

from stins.checks import part_bytes
from stins.control import ArmRequest, FrameDescription, TriggerKind, TriggerRequest
from stins.transport import high_water_mark

from ..backend import BackendError, Ending, Frame, HardwareError, Opening, differ, with_changes
from .absence import Absence
from .config import channel_names, frame_description
from .dcu import Dcu
from .keys import read_back, wishes
from .link import Link, MixedUpError, Sought
from .numbering import Spans
from .plan import plan_of
from .series import EigerSeries
from .settings import EigerSettings
from .simplon import NoAnswerError

__all__ = ["EigerBackend"]

log = logging.getLogger(__name__)

_IDLE: Final = "idle"
_ADDRESS: Final = ("host", "http_port")


class EigerBackend:
    """One detector with its DCU. It can be made while the DCU is not there; arming needs it."""

    Settings = EigerSettings
    #: A detector does not wait; its frames that nobody takes are dropped, and declared.
    can_wait = False
    triggers: tuple[TriggerKind, ...] = ("internal", "software", "edge", "level")

    def __init__(self, settings: EigerSettings) -> None:
        self._wanted = settings
        self._dcu = Dcu(settings)
        self._link: Link | None = None
        self._series: EigerSeries | None = None
        self._absence: Absence | None = None
        try:
            self._set_up("start", self._dcu, settings)
        except NoAnswerError as error:
            dcu = self._dcu
            self._absence = Absence(settings, str(error), lambda: self._set_up("start", dcu, settings))
        except HardwareError as error:
            log.warning("%s; it is tried again when the detector is armed", error)
        except BackendError:
            self._dcu.close()
            raise

    # -- settings -------------------------------------------------------------------------------

    @property
    def settings(self) -> EigerSettings:
        """What is set, as the detector says; as it is wanted, where that was never read."""
        return read_back(self._wanted, self._dcu.configuration.values)

    def describe(self) -> FrameDescription | None:
        """What the next frame will look like. None until the detector was there."""
        config = self._dcu.configuration.values
        parts = frame_description(config)
        if not parts:
            return None
        compression = str(config.get("compression") or "none")
        v2 = self._wanted.stream_version == "v2"
        return FrameDescription(
            shape=parts[0].shape,
            dtype=parts[0].dtype,
            compression=compression,
            channels=channel_names(config)[1:] if v2 else (),
            # A message of stream v1 need not have them.
            times=("timestamp",) if v2 else (),
        )

    @property
    def interval_s(self) -> float:
        """From a trigger to its first frame, or from frame to frame, as the detector has it."""
        number = self._dcu.configuration.number
        return max(number("frame_time", 0.0), number("count_time", 0.0)) + number("trigger_start_delay", 0.0)

    def busy(self) -> str:
        """Whether the detector is being initialized. How that ended, the next command says."""
        return "the detector is being initialized" if self._dcu.initializing else ""

    def absent(self) -> str:
        """Why a DCU that did not answer at the start cannot be used yet. Once it answers, it is set up."""
        if (absence := self._absence) is None:
            return ""
        if not absence.go_on():
            return absence.problem
        self._end_absence()
        if isinstance(absence.error, HardwareError):
            log.warning("%s; it is tried again when the detector is armed", absence.error)
        elif absence.error is not None:
            raise absence.error
        return ""

    def _wait_settled(self, step: str) -> None:
        """While a DCU that has come back is set up, in a thread, nobody else may do that."""
        # Once for an answer, and once for the detector to initialize: behind that it goes on by itself.
        limit_s = 2 * self._wanted.answer_timeout_s
        if self._absence is not None and not self._absence.settled(limit_s):
            raise HardwareError(
                f"DCU at {self._dcu.simplon.url}: {step}: it answers again, and was not set up within {limit_s:g} s; "
                "try again when `stins status` says no FAULT"
            )

    def _end_absence(self) -> None:
        if self._absence is not None:
            self._absence.close()
        self._absence = None

    def unanswered(self) -> str:
        """For how long the DCU has not answered the command that arms it."""
        return self._dcu.unanswered

    @property
    def arming_s(self) -> float:
        """What `arm` may have to wait for, in s: the end of a series, the arming, and answers around it."""
        settings = self._wanted
        return settings.end_timeout_s + settings.arm_timeout_s + 3 * settings.answer_timeout_s

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Sets some settings on the detector, or refuses them by name; what one of them changes is read back."""
        settings, before = with_changes(self._wanted, changes), self._dcu
        elsewhere = differ(settings, self._wanted, _ADDRESS)
        if not elsewhere:
            self._wait_settled("configure")
        if settings == self._wanted and before.loaded:
            return
        dcu = Dcu(settings) if elsewhere else before
        try:
            self._set_up("configure", dcu, settings)
        except Exception:
            if dcu is not before:
                dcu.close()
            raise
        if dcu is not before:
            before.close()
        self._end_absence()
        self._wanted, self._dcu = settings, dcu

    def _set_up(self, step: str, dcu: Dcu, settings: EigerSettings) -> None:
        """Any thread may do it, and only one at a time."""
        state = dcu.make_ready(step, settings)
        if state == _IDLE:
            dcu.apply(step, settings)
        elif wishes(settings) != wishes(self._wanted) or settings.period_s != self._wanted.period_s:
            # What only the acquirer needs to know can be set at any time.
            raise BackendError(
                f"DCU at {dcu.simplon.url}: configure: the detector's state is {state!r}, expected 'idle'; "
                "wait until whoever uses it is done"
            )

    # -- a series -------------------------------------------------------------------------------

    def arm(self, request: ArmRequest) -> Opening:
        """Sets the detector up, arms it, and waits for its start message."""
        settings, dcu = self._wanted, self._dcu
        self._close_link()
        self._wait_settled("arm")
        dcu.make_ready("arm", settings)
        self._end_absence()
        dcu.make_free("arm")
        plan, appendix = plan_of(request, settings, self._most()), _appendix(request)
        with dcu.claim.undisturbed("arm"):
            dcu.prepare("arm", settings, plan, appendix)
        link = self._connect()
        try:
            number = dcu.arm("arm", appendix)
        except Exception:
            self._close_link()
            raise
        try:
            dcu.check_armed("arm")
            config = dcu.configuration.values
            identity, opening = link.wait_for_start(Sought(appendix, number), config, settings.answer_timeout_s)
            self._series = EigerSeries(dcu, link, plan, identity, settings)
        except Exception as error:
            self._close_link()
            self._withdraw(armed_here=isinstance(error, MixedUpError))
            raise
        log.info("series %s of the detector is armed; %d messages of others were left out", identity, link.stale)
        return _as_asked(opening, request)

    def _most(self) -> int | None:
        found = self._dcu.configuration.get("ntrigger")
        return int(found.max) if found is not None and found.max is not None else None

    def _connect(self) -> Link:
        """A link for this series, whose largest message is known now. Who is idle must take nobody's messages."""
        settings, config = self._wanted, self._dcu.configuration.values
        rows, columns = (int(config.get(f"{axis}_pixels_in_detector") or 1) for axis in ("y", "x"))
        channels = channel_names(config)
        pixels = rows * columns * (len(channels) + 1)
        # Compressed ones are smaller, nobody knows by how much.
        largest = sum(map(part_bytes, frame_description(config, channels))) or pixels * 4
        holds = high_water_mark(settings.queue_bytes, largest)
        self._link = Link(settings.host, settings.port, settings.stream_version, pixels, holds)
        if not self._link.wait_connected(settings.answer_timeout_s):
            endpoint = self._link.endpoint
            self._close_link()
            raise HardwareError(
                f"arm: no connection to the stream at {endpoint} within {settings.answer_timeout_s:g} s; is "
                "stream_port right, and does a firewall let it pass?"
            )
        return self._link

    def _withdraw(self, *, armed_here: bool) -> None:
        """Ends what was armed in vain, unless another client has set the detector up, and perhaps armed it, since."""
        try:
            if armed_here or self._dcu.claim.holds("arm"):
                self._dcu.abort("arm")
        except BackendError as error:
            log.warning("%s", error)

    def trigger(self, request: TriggerRequest) -> None:
        """Has the images of one trigger taken."""
        if self._series is None:
            raise BackendError("trigger: not armed")
        self._series.trigger(request.first_frame)

    def read(self, timeout_s: float) -> Sequence[Frame]:
        """The frames that have come."""
        if self._series is None:
            return ()
        frames = self._series.read(timeout_s)
        if self._series.over():
            self._close_link()
        return frames

    def triggered(self) -> bool:
        """Whether frames are still to come."""
        return self._series is not None and self._series.triggered()

    def lost(self) -> Spans:
        """Frames that are lost, and that no frame has named yet."""
        return self._series.lost() if self._series is not None else ()

    def why_lost(self, *, quickly: bool = False) -> str:
        """Why images of the series did not come; the DCU is asked."""
        return self._series.why_lost(quickly=quickly) if self._series is not None else ""

    def ending(self) -> Ending | None:
        """The detector's own end of the series."""
        return self._series.ending() if self._series is not None else None

    def disarm(self) -> None:
        """Ends the series in good order; `read` gives what is left of it. Twice does no harm."""
        if self._series is not None:
            self._series.stop()
            # Else there is something left to be read.
            if self._series.over():
                self._close_link()

    def abort(self) -> None:
        """Ends the series now. Twice does no harm."""
        series, self._series = self._series, None
        try:
            if series is not None:
                series.abort()
        finally:
            self._close_link()

    def close(self) -> None:
        """Ends a series that is armed, and lets the DCU go. Twice does no harm."""
        try:
            self.abort()
        except BackendError as error:
            log.warning("%s", error)
        self._dcu.close()
        self._end_absence()

    def _close_link(self) -> None:
        if self._link is not None:
            self._link.close()
        self._link = None


def _as_asked(opening: Opening, request: ArmRequest) -> Opening:
    """With the frames and triggers that were asked for: the detector counts some modes otherwise (its own numbers stand
    in `detector_specific`), and is armed for billions where there is to be no end."""
    header = opening.header
    if header.acquisition is not UNSET:
        triggers = UNSET if request.triggers is None else request.triggers
        acquisition = msgspec.structs.replace(
            header.acquisition, frames_per_trigger=request.frames_per_trigger, triggers_expected=triggers
        )
        header = msgspec.structs.replace(header, acquisition=acquisition)
    return msgspec.structs.replace(opening, header=header, frames_expected=request.frames_expected)


def _appendix(request: ArmRequest) -> str:
    """What the detector sends with its start message, so that the series is known again among others."""
    told = {"series_id": request.series_id, "filename": request.filename, "armed": uuid4().hex}
    return msgspec.json.encode(told).decode()
