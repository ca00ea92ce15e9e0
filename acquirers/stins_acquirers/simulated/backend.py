"""A detector that is not there: it keeps its times and its promises, or breaks them on request."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np

from stins import UNSET, Acquisition, Detector, SeriesHeader
from stins.control import ArmRequest, FrameDescription, PulseRequest, TriggerKind, TriggerMode, TriggerRequest
from stins.messages import Part, Payload
from stins.transport import Link

from ..backend import BackendError, Ending, Frame, Opening, refuse_trigger_mode, with_changes
from .clock import FrameClock
from .exact_sleep import sleep_exactly
from .faults import FaultyLink
from .images import Scene, flatfield, pixel_mask
from .pool import Pool, frame_layout, frame_parts, make_pool
from .settings import SimulatedSettings

__all__ = ["SimulatedBackend"]


class SimulatedBackend:
    """Diffraction rings and spots, computed once and cycled; frame n is always frame n of the pool, cycled."""

    Settings = SimulatedSettings
    triggers: tuple[TriggerKind, ...] = ("internal", "software", "edge", "level")

    def __init__(self, settings: SimulatedSettings) -> None:
        self.settings = settings
        self._pool: tuple[Scene, str, Pool] | None = None
        self._series: _Series | None = None

    @property
    def can_wait(self) -> bool:
        """As fast as it goes, it waits for whoever takes the frames; with a period, it doesn't."""
        return self.settings.period_s == 0

    def describe(self) -> FrameDescription:
        """What the next frame will look like."""
        shape = self.settings.shape
        whole = shape if self.settings.modules == 1 else (self.settings.modules, *shape)
        return FrameDescription(
            shape=whole,
            dtype=self.settings.dtype,
            compression=self.settings.compression,
            times=("timestamp", "acquisition_timestamp"),
        )

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Sets some settings, or refuses them by name; a longer exposure moves a period that is too short for it."""
        self.settings = with_changes(self.settings, _with_period(self.settings, changes))

    def arm(self, request: ArmRequest) -> Opening:
        """Computes the frames where they are not there yet."""
        refuse_trigger_mode(request.trigger_mode, get_args(TriggerMode))
        settings, scene = self.settings, _scene(self.settings)
        if request.trigger_mode == "external" and settings.cable_mode == "level" and request.frames_per_trigger != 1:
            each = request.frames_per_trigger
            raise BackendError(f"arm: frames_per_trigger: got {each} with cable_mode 'level', expected 1: its exposure")
        sleep_exactly()  # here, for it is the loop that sleeps
        self._series = _Series(request, settings, self._ready_pool(), frame_parts(scene, settings.compression))
        arrays, payload = _series_arrays(scene) if settings.series_arrays else ((), ())
        header = SeriesHeader(
            detector=_detector(settings),
            acquisition=_acquisition(settings, scene, request),
            data=(*frame_parts(scene, "none"), *arrays),
            frame=frame_layout(scene),
            detector_specific={"simulation": {"photons": settings.photons, "seed": settings.seed}},
        )
        return Opening(header=header, payload=payload)

    def trigger(self, request: TriggerRequest) -> None:
        """Starts the clock of the next frames."""
        if self._series is None:
            raise BackendError("simulated: trigger: not armed")
        self._series.trigger(request.first_frame)

    def pulse(self, request: PulseRequest) -> None:
        """Pulses on its trigger input, each once it is ready for it; those beyond the end of the series do nothing."""
        if self._series is None:
            raise BackendError("simulated: pulse: no series waits for pulses; arm one with trigger_mode 'external'")
        self._series.pulse(request)

    def read(self, timeout_s: float) -> Sequence[Frame]:
        """The frames that are due."""
        return self._series.read(timeout_s) if self._series else ()

    def triggered(self) -> bool:
        """Whether frames of the last trigger are still to come."""
        return self._series is not None and self._series.triggered()

    def ending(self) -> Ending | None:
        """A series ends by itself once all frames that were asked for are read."""
        return self._series.ending() if self._series else None

    def disarm(self) -> None:
        """No more frames."""
        self._series = None

    def close(self) -> None:
        """Nothing is held."""
        self._series = None

    def wrap(self, link: Link) -> Link:
        """Puts the faults in front of the link."""
        return FaultyLink(link, lambda: self.settings.faults)

    def reference(self, frame_number: int) -> bytes:
        """The pixels as .npy, from before they were compressed."""
        return self._ready_pool().npy(frame_number)

    def _ready_pool(self) -> Pool:
        wanted = _scene(self.settings), self.settings.compression
        if self._pool is None or self._pool[:2] != wanted:
            self._pool = (*wanted, make_pool(*wanted))
        return self._pool[2]


class _Series:
    """The frames of one series that are still to come."""

    def __init__(self, request: ArmRequest, settings: SimulatedSettings, pool: Pool, parts: tuple[Part, ...]) -> None:
        self._request = request
        self._settings = settings
        self._pool = pool
        self._parts = parts
        self._layout = frame_layout(_scene(settings))
        self._armed_ns = time.monotonic_ns()
        self._epoch_ns = time.time_ns() - self._armed_ns
        self._clock = FrameClock(0.0, 0.0)
        self._next = 0
        self._pulses: deque[float] = deque()
        #: < 0: without end.
        self._to_come = 0

    def triggered(self) -> bool:
        """Whether frames are still to come of what has triggered it."""
        return self._to_come != 0 or bool(self._pulses)

    def ending(self) -> Ending | None:
        return Ending() if self._done() else None

    def _done(self) -> bool:
        expected = self._request.frames_expected
        return expected is not None and self._next >= expected

    def trigger(self, first_frame: int | None) -> None:
        if self._request.trigger_mode == "external":
            raise BackendError("trigger: this series waits for pulses; arm with another trigger_mode for commands")
        if first_frame is not None:
            self._next = first_frame
        request = self._request
        if request.trigger_mode == "software":
            self._to_come = request.frames_per_trigger
        else:
            self._to_come = -1 if request.frames_expected is None else request.frames_expected - self._next
        self._clock = FrameClock(self._settings.period_s, self._settings.exposure_s)

    def pulse(self, request: PulseRequest) -> None:
        if self._request.trigger_mode != "external":
            raise BackendError(f"pulse: trigger_mode is {self._request.trigger_mode!r}, expected 'external'")
        if self._settings.cable_mode == "level" and not request.length_s > 0:
            raise BackendError(f"pulse: length_s: got {request.length_s:g}, expected more than 0 s: it is the exposure")
        self._pulses.extend([request.length_s] * request.count)

    def read(self, timeout_s: float) -> list[Frame]:
        if self._to_come == 0 and not self._next_pulse():
            # Only a cable can be waited for here; the service's loop must not spin meanwhile.
            time.sleep(timeout_s if self._request.trigger_mode == "external" else 0.0)
            return []
        most = 1 << 30 if self._to_come < 0 else self._to_come
        frames = [self._frame() for _ in range(self._clock.wait(timeout_s, most))]
        if self._to_come > 0:
            self._to_come -= len(frames)
        return frames

    def _next_pulse(self) -> bool:
        """Whether there was one: its exposures begin now."""
        if not self._pulses or self._done():
            return False
        length_s, level = self._pulses.popleft(), self._settings.cable_mode == "level"
        self._to_come = self._request.frames_per_trigger
        period_s, exposure_s = self._settings.period_s, self._settings.exposure_s
        self._clock = FrameClock(length_s, length_s) if level else FrameClock(period_s, exposure_s)
        return True

    def _frame(self) -> Frame:
        number, began = self._next, self._clock.take()
        self._next += 1
        index = number % len(self._pool.payloads)
        return Frame(
            number=number,
            parts=self._parts,
            payload=self._pool.payloads[index],
            layout=self._layout,
            timestamp=(began - self._armed_ns) / 1e9,
            acquisition_timestamp=began + self._epoch_ns,
            detector_specific=self._numbers(index, number) if self._settings.numbers else UNSET,
        )

    def _numbers(self, index: int, number: int) -> dict[str, Any]:
        temperature = 20.0 + float(np.sin(number / 50.0))
        return {"total_counts": self._pool.totals[index], "sensor_temperature": temperature}


def _with_period(settings: SimulatedSettings, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The changes, and the period where only the exposure is set, to longer than that: a detector moves it along."""
    if "exposure_s" not in changes or "period_s" in changes:
        return changes
    exposure_s = with_changes(settings, {**changes, "period_s": 0.0}).exposure_s
    return {**changes, "period_s": exposure_s} if 0 < settings.period_s < exposure_s else changes


def _scene(settings: SimulatedSettings) -> Scene:
    rows, columns = settings.shape
    x, y = settings.beam_center_x, settings.beam_center_y
    return Scene(
        shape=settings.shape,
        modules=settings.modules,
        dtype=settings.dtype,
        photons=settings.photons,
        pool=settings.pool,
        seed=settings.seed,
        rocking=settings.rocking,
        incident_energy=settings.incident_energy,
        distance=settings.distance,
        pixel_size=settings.pixel_size,
        center_x=(columns - 1) / 2 if x is None else x,
        center_y=(rows - 1) / 2 if y is None else y,
    )


def _detector(settings: SimulatedSettings) -> Detector:
    whole_numbers = not settings.dtype.startswith("float")
    return Detector(
        description="simulated detector, LaB6 rings and spots",
        vendor="stins-ophyd",
        model="simulated",
        serial_number=f"seed-{settings.seed}",
        sensor_material="Si",
        sensor_thickness=0.00045,
        x_pixel_size=settings.pixel_size,
        y_pixel_size=settings.pixel_size,
        bit_depth_readout=np.dtype(settings.dtype).itemsize * 8,
        saturation_value=int(np.iinfo(settings.dtype).max) if whole_numbers else UNSET,
        sensor_shape=settings.shape if settings.modules == 1 else (settings.modules, *settings.shape),
    )


def _acquisition(settings: SimulatedSettings, scene: Scene, request: ArmRequest) -> Acquisition:
    return Acquisition(
        count_time=settings.exposure_s,
        frame_time=settings.period_s or settings.exposure_s,
        trigger_mode=request.trigger_mode,
        frames_per_trigger=request.frames_per_trigger,
        triggers_expected=UNSET if request.triggers is None else request.triggers,
        incident_energy=settings.incident_energy,
        threshold_energy=(settings.incident_energy / 2,),
        beam_center_x=scene.center_x,
        beam_center_y=scene.center_y,
        distance=settings.distance,
    )


def _series_arrays(scene: Scene) -> tuple[tuple[Part, ...], tuple[Payload, ...]]:
    mask, field = pixel_mask(scene), flatfield(scene)
    parts = (
        Part(name="pixel_mask", shape=scene.shape, dtype="uint32"),
        Part(name="flatfield", shape=scene.shape, dtype="float32"),
    )
    return parts, (mask.data.cast("B"), field.data.cast("B"))
