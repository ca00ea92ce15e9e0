"""A captured stream as a detector: its frames come as they came then, or as fast as anybody takes them."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stins import StinsError
from stins.control import ArmRequest, FrameDescription, TriggerRequest

from ..backend import BackendError, Ending, Frame, Opening, refuse_trigger_mode, with_changes
from ..bitshuffle import decode_part
from .schedule import Schedule
from .series import CapturedSeries
from .settings import ReplaySettings

__all__ = ["ReplayBackend"]

_BATCH = 16


class ReplayBackend:
    """Replays the first series of a capture; armed again, it begins again."""

    Settings = ReplaySettings
    #: A capture can always be held up.
    can_wait = True

    def __init__(self, settings: ReplaySettings) -> None:
        self.settings = settings
        self._series = _captured(settings)
        self._replay: _Replay | None = None

    @property
    def interval_s(self) -> float:
        """How far apart two frames may be, in s."""
        settings = self.settings
        if settings.rate_hz is not None:
            return 1 / settings.rate_hz
        return 0.0 if settings.pace == "fast" else settings.longest_pause_s

    def describe(self) -> FrameDescription | None:
        """What the first frame of the capture looks like; None where it has numbers only."""
        return self._series.description

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Sets some settings; a file that is no capture is refused here already."""
        settings = with_changes(self.settings, changes)
        if settings.capture != self.settings.capture:
            self._series = _captured(settings)
        self.settings = settings

    def arm(self, request: ArmRequest) -> Opening:
        """The capture's own opening; with software triggers, as many frames are expected as were asked for."""
        refuse_trigger_mode(request.trigger_mode, ("internal", "software"))
        self._replay = _Replay(request, self.settings, self._series)
        return self._series.opening(whole=request.trigger_mode == "internal")

    def trigger(self, request: TriggerRequest) -> None:
        """Lets the next frames go."""
        if self._replay is None:
            raise BackendError("replay: trigger: not armed")
        self._replay.trigger(request.first_frame)

    def read(self, timeout_s: float) -> Sequence[Frame]:
        """The frames whose time has come."""
        return self._replay.read(timeout_s) if self._replay else ()

    def triggered(self) -> bool:
        """Whether frames of the last trigger are still to come."""
        return self._replay is not None and self._replay.triggered()

    def ending(self) -> Ending | None:
        """The capture's own end; a capture that breaks off ends as failed."""
        return self._replay.ending() if self._replay else None

    def disarm(self) -> None:
        """No more frames; closes the file. Twice does no harm."""
        if self._replay:
            self._replay.close()
        self._replay = None

    def close(self) -> None:
        """Closes the file. Twice does no harm."""
        self.disarm()

    def reference(self, frame_number: int) -> bytes:
        """The frame's pixels as .npy, read from the capture anew and decoded without HDF5."""
        frame = self._series.frame(frame_number)
        if not frame.parts:
            raise BackendError(f"frame {frame_number} of {self.settings.capture} has numbers only, no image")
        parts = [decode_part(part, blob) for part, blob in zip(frame.parts, frame.payload, strict=True)]
        out = io.BytesIO()
        np.save(out, parts[0] if len(parts) == 1 else np.stack([part.reshape(part.shape[-2:]) for part in parts]))
        return out.getvalue()


def _captured(settings: ReplaySettings) -> CapturedSeries:
    try:
        return CapturedSeries(settings.capture)
    except StinsError as error:
        raise BackendError(f"capture: {error}") from error


class _Replay:
    """One series on its way."""

    def __init__(self, request: ArmRequest, settings: ReplaySettings, series: CapturedSeries) -> None:
        self._request = request
        self._settings = settings
        self._series = series
        self._steps = series.steps()
        self._waiting: Frame | None = None
        self._schedule = Schedule(settings)
        self._taken = 0
        #: Frames; < 0: all that there are.
        self._to_come = 0
        self._ending: Ending | None = None

    def trigger(self, first_frame: int | None) -> None:
        if first_frame is not None and first_frame != self._taken:
            self.close()
            self._steps, self._waiting = self._series.steps(first_frame), None
            self._taken = first_frame
        software = self._request.trigger_mode == "software"
        self._to_come = self._request.frames_per_trigger if software else -1
        self._schedule = Schedule(self._settings)

    def read(self, timeout_s: float) -> list[Frame]:
        frames: list[Frame] = []
        while self._to_come and self._ending is None and len(frames) < _BATCH:
            frame = self._peek()
            if frame is None or not self._schedule.due(frame, 0.0 if frames else timeout_s):
                break
            frames.append(frame)
            self._took(frame)
        return frames

    def triggered(self) -> bool:
        return self._to_come != 0

    def ending(self) -> Ending | None:
        return self._ending

    def close(self) -> None:
        self._steps.close()

    def _peek(self) -> Frame | None:
        if self._waiting is None:
            step = next(self._steps)
            if isinstance(step, Ending):
                self._ending = step
            else:
                self._waiting = step
        return self._waiting

    def _took(self, frame: Frame) -> None:
        self._waiting = None
        self._taken = frame.number + frame.count
        if self._to_come > 0:
            self._to_come = max(0, self._to_come - frame.count)
        expected = self._request.frames_expected
        if self._request.trigger_mode == "software" and expected is not None and self._taken >= expected:
            # Enough; but where the capture has nothing more either, its own end tells more.
            self._peek()
            self._ending = self._ending or Ending()
