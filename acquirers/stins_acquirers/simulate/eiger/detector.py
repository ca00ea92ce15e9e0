"""The detector's commands and states: what is allowed when, and what follows from it."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from .arming import Armory
from .faults import Faults
from .high_voltage import HighVoltage
from .keys import RefusedError, Value
from .monitor import Monitor
from .options import EigerOptions
from .orders import Abort, Begin, Cancel, ClearStream, End, Expose, Exposure, Order, Reset
from .pixels import countrate_table
from .pool import Pool
from .progress import Progress
from .series import Series
from .settings import Settings
from .triggers import EXTERNAL, INTERNAL, Pulses, check_images, commanded

__all__ = ["Detector", "State"]

#: For the loop to do what a command needs done before it is answered.
_ORDER_DEADLINE_S: Final = 10.0


class State(Enum):
    """`detector/status/state`, as the vendor spells it."""

    NA = "na"
    INITIALIZE = "initialize"
    IDLE = "idle"
    CONFIGURE = "configure"
    READY = "ready"
    ACQUIRE = "acquire"


_OPEN: Final = (State.READY, State.ACQUIRE)
_AT_REST: Final = (State.IDLE, State.READY, State.ACQUIRE)
#: In which states a command is obeyed; in all others it is refused.
_ALLOWED: Final[Mapping[str, tuple[State, ...]]] = {
    "initialize": (State.NA, *_AT_REST),
    "arm": (State.IDLE,),
    "trigger": (State.READY,),
    "disarm": _AT_REST,
    "cancel": _AT_REST,
    "abort": _AT_REST,
}


class Detector:
    """Obeys commands, from any thread; what takes time is ordered of the readout, which tells what it has done."""

    def __init__(
        self,
        options: EigerOptions,
        settings: Settings,
        faults: Faults,
        monitor: Monitor,
        order: Callable[[Order], None],
    ) -> None:
        self._options = options
        self._settings = settings
        self._faults = faults
        self._order = order
        self._monitor = monitor
        self._armory = Armory(options, settings.family, settings.arrays)
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._series: Series | None = None
        self._progress = Progress(settings.detector.values)
        self.high_voltage = HighVoltage(faults, needed=settings.family.has_high_voltage)
        self.state = State.NA
        self.number = 0
        self.down_until = 0.0
        self.lives = 1

    @property
    def unique_id(self) -> str:
        """Of the last series."""
        return self._series.unique_id if self._series else ""

    # -- commands -------------------------------------------------------------------------------

    def initialize(self) -> None:
        """Everything as after power-up, and ready to be used; series are numbered from 1 again."""
        with self._allowed("initialize"):
            if self.state in _OPEN:
                self._order(Abort(True, threading.Event()))
                self._finish()
            self.state = State.INITIALIZE
        self._stopping.wait(self._options.initialize_s)
        with self._lock:
            if self.state is State.INITIALIZE:
                self._settings.reset_detector()
                self.high_voltage.switch_on()
                self.number = 0
                self.state = State.IDLE

    def arm(self) -> int:
        """Begins a series; its number."""
        with self._allowed("arm"):
            config = dict(self._settings.detector.values)
            check_images(config)
            self.state = State.CONFIGURE
        try:
            self._stopping.wait(self._options.arm_s)
            pool = self._armory.pool(config, dark=self.high_voltage.state() == "OFF")
        except BaseException:
            self.state = State.IDLE
            raise
        with self._lock:
            if self.state is not State.CONFIGURE:
                raise RefusedError("arm: the detector was restarted meanwhile")
            self.number += 1
            self.state = State.READY
            self._series, self._progress = self._make_series(config, pool), Progress(config)
            begun, number = threading.Event(), self.number
            self._order(Begin(self._series, begun))
        begun.wait(_ORDER_DEADLINE_S)
        return number

    def trigger(self, count_s: float | None) -> int:
        """Takes the images of one trigger, and returns once they are taken."""
        with self._allowed("trigger"):
            config = self._settings.detector.values
            if config["trigger_mode"] not in INTERNAL:
                raise RefusedError(
                    f"trigger: trigger_mode is {config['trigger_mode']}, expected {' or '.join(INTERNAL)}"
                )
            if count_s is not None and config["trigger_mode"] != "inte":
                raise RefusedError(f"trigger: got a count time, trigger_mode {config['trigger_mode']} takes no body")
            exposure = commanded(config, count_s, time.monotonic_ns(), self._image_appendix())
            self._progress.add(exposure)
            self._expose(exposure)
            number = self.number
        exposure.done.wait()
        return number

    def disarm(self) -> int:
        """Ends the series; what was taken is still sent."""
        return self._end("disarm", drop=False)

    def abort(self) -> int:
        """Ends the series; what waits for a client is dropped."""
        return self._end("abort", drop=True)

    def cancel(self) -> int:
        """Ends the series behind the image that is being taken."""
        with self._allowed("cancel"):
            if self.state is State.ACQUIRE:
                self._progress.cancelled = True
                self._order(Cancel())
            elif self.state is State.READY:
                self._finish()
            return self.number

    def initialize_stream(self) -> None:
        """The stream is off and forgets what it dropped and what waits."""
        self._settings.stream.reset()
        self._faults.initialize_stream()
        self._order(ClearStream())

    @contextmanager
    def configuring(self, key: str) -> Iterator[None]:
        """While the detector's configuration is changed: no series is open, and none is begun."""
        with self._lock:
            if self.state is not State.IDLE:
                raise RefusedError(f"{key}: the detector's state is {self.state.value}, expected idle")
            yield

    # -- what the real detector has cables for --------------------------------------------------

    def pulse(self, pulses: Pulses) -> int:
        """External pulses come; how many of them are taken. One that comes too early is ignored."""
        with self._lock:
            if self.state not in _OPEN or self._settings.detector.values["trigger_mode"] not in EXTERNAL:
                return 0
            exposures, taken = self._progress.pulse(pulses, time.monotonic_ns(), self._image_appendix())
            for exposure in exposures:
                self._expose(exposure)
            return taken

    def restart(self, seconds: float) -> None:
        """As when the service on the DCU is restarted: state `na`, all settings lost, connections broken."""
        with self._lock:
            self.state = State.NA
            self._faults.end_series()
            self.number = 0
            self.down_until = time.monotonic() + seconds
            self.lives += 1
            self._settings.reset()
            self._monitor.clear()
            self._order(Reset(threading.Event()))

    def stop(self) -> None:
        """Sets free whoever waits for `initialize`, `arm` or an image of the monitor."""
        self._stopping.set()
        self._monitor.stop()

    # -- what the readout tells -----------------------------------------------------------------

    def exposed(self, exposure: Exposure) -> None:
        """All images of an exposure are taken."""
        with self._lock:
            if self.state is not State.ACQUIRE or not self._progress.finish(exposure):
                return
            if self._progress.complete:
                self._finish()
            elif not self._progress.exposing:
                self.state = State.READY

    def lets_pass(self, number: int) -> bool:
        """Whether an image is sent."""
        if self._series is not None:
            self._monitor.put(self._series.pool, number)
        with self._lock:
            # Another thread may have ended its series just now: no fault of that has hit it, nor one of the next.
            if self.state not in _OPEN:
                return False
            fault = self._faults.of_image(number)
            if fault is not None and fault.kind == "restart":
                self.restart(fault.seconds)
            return fault is None

    # -- inside ---------------------------------------------------------------------------------

    @contextmanager
    def _allowed(self, command: str) -> Iterator[None]:
        with self._lock:
            allowed = _ALLOWED[command]
            if self.state not in allowed:
                expected = " or ".join(state.value for state in allowed)
                raise RefusedError(f"{command}: the detector's state is {self.state.value}, expected {expected}")
            yield

    def _end(self, command: str, *, drop: bool) -> int:
        with self._allowed(command):
            if self.state not in _OPEN:
                return self.number
            self._order(Abort(drop, threading.Event()))
            ended, number = self._finish(), self.number
        ended.wait(_ORDER_DEADLINE_S)
        return number

    def _expose(self, exposure: Exposure) -> None:
        self.state = State.ACQUIRE
        self._order(Expose(exposure))

    def _finish(self) -> threading.Event:
        ended = threading.Event()
        self.state = State.IDLE
        self._faults.end_series()
        self._order(End(ended))
        return ended

    def _image_appendix(self) -> Value:
        return self._settings.stream.values["image_appendix"]

    def _make_series(self, config: Mapping[str, Value], pool: Pool) -> Series:
        stream, names = self._settings.stream.values, pool.channels
        works = stream["mode"] == "enabled" and not self._faults.has("stream_error")
        return Series(
            number=self.number,
            unique_id=uuid.uuid4().hex,
            config=config,
            images_expected=config["nimages"] * config["ntrigger"],
            pool=pool,
            stream=stream.get("format", "legacy") if works else None,
            header_detail=stream["header_detail"],
            header_appendix=stream["header_appendix"],
            flatfields=self._armory.flatfields(config, names),
            pixel_masks=self._armory.masks(config, names),
            countrate_table=countrate_table(),
            armed=datetime.now(UTC).isoformat(),
            armed_ns=time.monotonic_ns(),
        )
