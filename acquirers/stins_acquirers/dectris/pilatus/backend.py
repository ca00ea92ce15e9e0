"""PILATUS2 and PILATUS3: driven over camserver, their images taken from the folder in which they appear."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stins.control import ArmRequest, FrameDescription, TriggerKind, TriggerRequest

from ...backend import BackendError, Ending, Frame, HardwareError, Opening, differ, with_changes
from .camserver import Camserver, RefusedError
from .exposure_commands import exposure_commands
from .folder import ImageFolder
from .frames import FrameMaker
from .identity import Identity, read_climate, read_identity
from .opening import opening_of
from .plan import plan_of
from .series import PilatusSeries
from .settings import PilatusSettings
from .trimmer import Trimmer

__all__ = ["PilatusBackend"]

log = logging.getLogger(__name__)

_PLACE: Final = ("host", "port", "answer_timeout_s", "folder")
_LOOKS: Final = ("shape", "readout_s")
_KILL_S: Final = 1.0
#: How long `configure` waits for a threshold: a refusal comes at once, and who asks waits 5 s for an answer.
_NOTICE_S: Final = 2.0
_BUSY: Final = (
    "if a series is under way there (of another client, or of an acquirer that has died), end it, or set `take_over` "
    "to true; if another client is in control there, disconnect it"
)
#: Which settings the commands stand for.
_SETTINGS: Final = {
    "exptime": "exposure_s",
    "expperiod": "period_s",
    "nexpframe": "exposures_per_frame",
    "delay": "delay_s",
    "gapfill": "gap_fill",
    "mxsettings": "mx_settings",
    "headerstring": "header_string",
}
_ENERGIES: Final = ("incident_energy", "threshold_energy", "gain")
_SAME_S: Final = 1e-9


class PilatusBackend:
    """One detector. It can be made while camserver is not there; arming needs it."""

    Settings = PilatusSettings
    #: Images wait in the folder, as long as it has room for them.
    can_wait = True
    triggers: tuple[TriggerKind, ...] = ("internal", "software", "edge", "level")

    def __init__(self, settings: PilatusSettings) -> None:
        self._wanted = settings
        self._identity: Identity | None = None
        self._series: PilatusSeries | None = None
        self._orphan = False
        self._connect_to(settings)
        if self._looks_for("start"):
            try:
                self._trimmer.begin("start", settings, 0.0)
            except BackendError as error:
                log.warning("%s; it is tried again when the detector is armed", error)

    def _connect_to(self, settings: PilatusSettings) -> None:
        self._camserver = Camserver(settings.host, settings.port, settings.answer_timeout_s)
        self._trimmer = Trimmer(self._camserver)
        self._folder = ImageFolder(settings.folder)
        self._identity = None

    def _looks_for(self, step: str) -> bool:
        """Whether the detector is there; it need not be, before it is used."""
        try:
            self._make_ready(step)
        except BackendError as error:
            log.warning("%s; it is tried again when the detector is used", error)
            return False
        return True

    def _make_ready(self, step: str) -> Identity:
        """Connects, and asks the detector who it is; raises `HardwareError` with what is in the way."""
        if self._camserver.connect(step):
            self._identity = None
            if self._orphan or self._wanted.take_over:
                self._camserver.end_series(step, _KILL_S)
            self._orphan = False
        if self._identity is None:
            try:
                self._trimmer.read(step)
                self._identity = read_identity(self._camserver, step, self._wanted)
            except RefusedError as error:
                raise HardwareError(f"{error}; {_BUSY}") from error
        return self._identity

    # -- settings -------------------------------------------------------------------------------

    @property
    def settings(self) -> PilatusSettings:
        """What is set: energies as camserver says, the rest as it will be told."""
        return self._trimmer.settings(self._wanted)

    def describe(self) -> FrameDescription | None:
        """What the next frame will look like; None until the detector was there, unless `shape` is set."""
        shape = self._wanted.shape or (self._identity.shape if self._identity else None)
        if shape is None:
            return None
        times = ("timestamp", "acquisition_timestamp")
        return FrameDescription(shape=shape, dtype="int32", compression=self._wanted.compression, times=times)

    @property
    def interval_s(self) -> float:
        """From a trigger to its first frame, or from frame to frame: a frame may be the sum of several exposures.

        An image that is late is waited for here: nobody is to give up before it is declared missing.
        """
        settings = self._wanted
        exposure_s = settings.exposure_s + (self._identity.readout_s if self._identity else 0.0)
        frame_s = max(settings.period_s, exposure_s) * settings.exposures_per_frame
        return frame_s + settings.delay_s + settings.image_timeout_s

    def busy(self) -> str:
        """Whether the detector is being trimmed. Once it is, it is read back."""
        return self._trimmer.look()

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Sets energies on the detector at once, without waiting for the end of it; all else when it is armed."""
        settings, before = with_changes(self._wanted, changes), self._wanted
        if differ(settings, before, _PLACE):
            self._camserver.close()
            self._connect_to(settings)
        else:
            if self._identity is not None:
                self._period_s(settings, self._identity)
            if differ(settings, before, _ENERGIES):
                self._make_ready("configure")
                self._trimmer.wait("configure", before)
                self._trimmer.begin("configure", settings, min(_NOTICE_S, settings.answer_timeout_s))
            if differ(settings, before, _LOOKS):
                self._identity = None
        self._wanted = settings
        if self._identity is None and settings != before:
            self._looks_for("configure")
        elif self._identity is None:
            # Nothing is changed: who asks for that is to know what is in the way.
            self._make_ready("configure")

    def _period_s(self, settings: PilatusSettings, identity: Identity) -> float:
        """From exposure to exposure; raises `BackendError` if the detector is not so fast."""
        shortest = settings.exposure_s + identity.readout_s
        if 0 < settings.period_s < shortest - _SAME_S:
            raise BackendError(
                f"period_s: got {settings.period_s:g} s, expected 0 (the shortest) or at least {shortest:g} s: "
                f"exposure_s and {identity.readout_s * 1000:g} ms that {identity.name} takes to be read out"
            )
        return settings.period_s or shortest

    # -- a series -------------------------------------------------------------------------------

    def arm(self, request: ArmRequest) -> Opening:
        """Tells camserver everything that the series needs; with an external trigger the detector waits for it then."""
        identity = self._make_ready("arm")
        self._trimmer.apply("arm", self._wanted)
        settings = self.settings
        plan = plan_of(request, settings, self._period_s(settings, identity))
        self._prepare(settings, self._period_s(settings, identity))
        self._folder.check()
        if settings.leftovers == "delete":
            self._folder.delete_leftovers()
        opening = opening_of(plan, settings, identity, read_climate(self._camserver, "arm"))
        frames = FrameMaker(plan, settings, identity.shape)
        self._series = PilatusSeries(self._camserver, self._folder, plan, settings, frames)
        if plan.external:
            self._series.begin("arm")
        return opening

    def _prepare(self, settings: PilatusSettings, period_s: float) -> None:
        for command in exposure_commands(settings, period_s):
            try:
                self._camserver.command("arm", command)
            except RefusedError as error:
                name = command.split()[0]
                if name == "imgpath":
                    raise HardwareError(f"{error}; {_BUSY}; if it can't write there, set `camserver_folder`") from error
                raise BackendError(f"{error}; set `{_SETTINGS.get(name, name)}` to what it takes") from error

    def trigger(self, request: TriggerRequest) -> None:
        """Has the images of one trigger taken."""
        if self._series is None:
            raise BackendError("trigger: not armed")
        self._series.begin("trigger", request.first_frame)

    def read(self, timeout_s: float) -> Sequence[Frame]:
        """The frames whose images are there."""
        return self._series.read(timeout_s) if self._series else ()

    def triggered(self) -> bool:
        """Whether frames are still to come."""
        return self._series is not None and self._series.triggered()

    def lost(self) -> tuple[tuple[int, int], ...]:
        """Frames that are lost, and that no frame has named yet."""
        return self._series.lost() if self._series is not None else ()

    def why_lost(self, *, quickly: bool = False) -> str:  # noqa: ARG002  # it never waits
        """Why images of the series did not come."""
        return self._series.why_lost() if self._series is not None else ""

    def ending(self) -> Ending | None:
        """The end of the series, once all its frames were read."""
        return self._series.ending() if self._series else None

    def disarm(self) -> None:
        """Ends the series in good order; `read` gives what is left of it. Twice does no harm."""
        if self._series is not None:
            self._series.stop()

    def abort(self) -> None:
        """Ends the series now. Twice does no harm."""
        series, self._series = self._series, None
        if series is not None:
            # What is under way there and could not be ended is ended when there is a connection again.
            self._orphan = True
            self._orphan = not series.abort()

    def close(self) -> None:
        """Ends a series that is armed, and lets camserver go. Twice does no harm."""
        try:
            self.abort()
        except BackendError as error:
            log.warning("%s", error)
        self._camserver.close()
