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
from .options import EigerOptions
from .orders import Abort, Begin, Cancel, ClearStream, End, Expose, Exposure, Order, Reset
from .pixels import countrate_table
from .pool import Pool
from .series import Series
from .settings import Settings
from .triggers import EXTERNAL, INTERNAL, Pulses, check_images, commanded, pulsed

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


class _Progress:
    """How far the series is: triggers that came, exposures that go on and that are done, images, open gates."""

    def __init__(self) -> None:
        self.triggers = 0
        self.exposing: list[Exposure] = []
        self.done = 0
        self.images = 0
        self.gates = 0
        self.busy_until_ns = 0
        self.cancelled = False


class Detector:
    """Obeys commands, from any thread; what takes time is ordered of the readout, which tells what it has done."""

    def __init__(
        self,
        options: EigerOptions,
        settings: Settings,
        faults: Faults,
        order: Callable[[Order], None],
    ) -> None:
        self._options = options
        self._settings = settings
        self._faults = faults
        self._order = order
        self._armory = Armory(options, settings.family, settings.arrays)
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._high_voltage = HighVoltage()
        self.state = State.NA
        self.number = 0
        self.unique_id = ""
        self.down_until = 0.0
        self._progress = _Progress()

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
                self._high_voltage.switch_on()
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
            pool = self._armory.pool(config, dark=self.high_voltage() == "OFF")
        except BaseException:
            self.state = State.IDLE
            raise
        with self._lock:
            if self.state is not State.CONFIGURE:
                raise RefusedError("arm: the detector was restarted meanwhile")
            self._progress = _Progress()
            self.number += 1
            self.unique_id = uuid.uuid4().hex
            self.state = State.READY
            begun, number = threading.Event(), self.number
            self._order(Begin(self._series(config, pool), begun))
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
        self._order(ClearStream())

    @contextmanager
    def configuring(self, key: str) -> Iterator[None]:
        """While the detector's configuration is changed: no series is open, and none is begun."""
        with self._lock:
            if self.state is not State.IDLE:
                raise RefusedError(f"{key}: the detector's state is {self.state.value}, expected idle")
            yield

    def reset_high_voltage(self, seconds: float) -> None:
        """Switches the high voltage off, and on again after that time."""
        if not self._settings.family.has_high_voltage:
            raise RefusedError("hv_reset: this detector has no high voltage", 404)
        self._high_voltage.ramp(seconds)

    def high_voltage(self) -> str:
        """`OFF`, `RAMPING` or `READY`; `NA` where there is none."""
        if not self._settings.family.has_high_voltage:
            return "NA"
        return "OFF" if self._faults.has("high_voltage_off") else self._high_voltage.state()

    # -- what the real detector has cables for --------------------------------------------------

    def pulse(self, pulses: Pulses) -> int:
        """External pulses come; how many of them start something. A pulse that comes too early is ignored."""
        with self._lock:
            config = self._settings.detector.values
            if self.state not in _OPEN or config["trigger_mode"] not in EXTERNAL:
                return 0
            now_ns, appendix = time.monotonic_ns(), self._image_appendix()
            exposures = list(pulsed(config, pulses, now_ns, self._progress.gates, appendix))
            if config["trigger_mode"] == "extg":
                self._progress.gates = (self._progress.gates + pulses.count) % config["nexpi"]
            taken = [exposure for exposure in exposures if self._accepts(exposure)]
            return pulses.count if config["trigger_mode"] == "extg" else len(taken)

    def _accepts(self, exposure: Exposure) -> bool:
        config = self._settings.detector.values
        if config["trigger_mode"] == "extg":
            left = config["nimages"] * config["ntrigger"] - self._progress.images
            exposure.images = min(exposure.images, left)
        elif self._progress.triggers >= config["ntrigger"]:
            return False
        if exposure.images < 1 or exposure.start_ns < self._progress.busy_until_ns:
            return False
        self._expose(exposure)
        return True

    def restart(self, seconds: float) -> None:
        """As when the service on the DCU is restarted: state `na`, all settings lost, connections broken."""
        with self._lock:
            self.state = State.NA
            self.number = 0
            self.down_until = time.monotonic() + seconds
            self._settings.reset()
            self._order(Reset(threading.Event()))

    def stop(self) -> None:
        """Sets free whoever waits for `initialize` or `arm`."""
        self._stopping.set()

    # -- what the readout tells -----------------------------------------------------------------

    def exposed(self, exposure: Exposure) -> None:
        """All images of an exposure are taken."""
        with self._lock:
            if self.state is not State.ACQUIRE or exposure not in self._progress.exposing:
                return
            self._progress.exposing.remove(exposure)
            self._progress.done += 1
            config = self._settings.detector.values
            # A gate series has no last trigger: it is ended by a command.
            all_done = config["trigger_mode"] != "extg" and self._progress.done >= config["ntrigger"]
            if self._progress.cancelled or all_done:
                self._finish()
            elif not self._progress.exposing:
                self.state = State.READY

    def lets_pass(self, number: int) -> bool:
        """Whether an image is sent."""
        fault = self._faults.of_image(number)
        if fault is not None and fault.kind == "restart":
            self.restart(fault.seconds)
        return fault is None and self.state in _OPEN

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
        self._progress.exposing.append(exposure)
        self._progress.triggers += 1
        self._progress.images += exposure.images
        self._progress.busy_until_ns = exposure.end_ns
        self.state = State.ACQUIRE
        self._order(Expose(exposure))

    def _finish(self) -> threading.Event:
        ended = threading.Event()
        self.state = State.IDLE
        self._order(End(ended))
        return ended

    def _image_appendix(self) -> Value:
        return self._settings.stream.values["image_appendix"]

    def _series(self, config: Mapping[str, Value], pool: Pool) -> Series:
        stream, names = self._settings.stream.values, pool.channels
        return Series(
            number=self.number,
            unique_id=self.unique_id,
            config=config,
            images_expected=config["nimages"] * config["ntrigger"],
            pool=pool,
            stream=stream.get("format", "legacy") if stream["mode"] == "enabled" else None,
            header_detail=stream["header_detail"],
            header_appendix=stream["header_appendix"],
            flatfields=self._armory.flatfields(config, names),
            pixel_masks=self._armory.masks(config, names),
            countrate_table=countrate_table(),
            armed=datetime.now(UTC).isoformat(),
            armed_ns=time.monotonic_ns(),
        )
