"""The DCU: connected to, initialized, configured and armed. Everything that goes over HTTP, in the caller's thread."""

import logging
import time
from collections.abc import Callable, Collection
from typing import Any, Final

from ..backend import HardwareError
from .claim import Claim
from .configuration import Configuration
from .errand import Errand
from .keys import Wish, wishes
from .parameter import Parameter
from .plan import Plan
from .settings import EigerSettings
from .simplon import Simplon, SimplonError
from .watch import Seen

__all__ = ["Dcu"]

log = logging.getLogger(__name__)

_IDLE: Final = "idle"
_ACQUIRE: Final = "acquire"
_ERROR: Final = "error"
#: Nothing but the state is told then, and an abort would leave the detector half initialized.
_INITIALIZE: Final = "initialize"
#: Switched on or restarted, and in an error that only this ends.
_NEEDS_INITIALIZE: Final = ("na", "error")
_TICK_S: Final = 0.05
#: The longest wait of a socket is 24 days (2^31 ms). A series without end may go on for as long: it is the watch that
#: finds out whether the DCU is gone.
_LONGEST_S: Final = 20 * 86_400.0
#: So long the DCU may arm without a word about it.
_SILENT_S: Final = 5.0
_READY: Final = ("READY", "NA", "")


class Dcu:
    """One detector. Making it does no I/O; whatever needs the DCU first makes sure that it is there and initialized."""

    def __init__(self, settings: EigerSettings) -> None:
        self.simplon = Simplon(settings.host, settings.http_port, settings.answer_timeout_s)
        self.configuration = Configuration(self.simplon)
        self.claim = Claim(self.simplon, self.configuration)
        self._settings = settings
        self._initializing: tuple[Errand, float] | None = None
        self._arming: float | None = None
        self._loaded = False

    @property
    def loaded(self) -> bool:
        """Whether its configuration was read."""
        return self._loaded

    # -- ready ----------------------------------------------------------------------------------

    def make_ready(self, step: str, settings: EigerSettings) -> str:
        """Connects and initializes, where that is needed; its state then.

        Raises `HardwareError` with what is in the way.
        """
        self._settings = settings
        self.simplon.answer_s = settings.answer_timeout_s
        if self._initializing is not None:
            self._wait_initialized(step)
        elif not self.simplon.version:
            self.simplon.find_version(step)
        if (state := self.simplon.state(step)) in _NEEDS_INITIALIZE:
            self._initialize(step, state)
            state = self.simplon.state(step)
        if state == _INITIALIZE:
            self._loaded = False
            raise self._error(step, "the detector is initializing, which may take minutes; try again when it is done")
        if not self._loaded:
            self.configuration.load(step)
            self._loaded = True
        return state

    def _initialize(self, step: str, state: str) -> None:
        self._loaded = False
        if not self._settings.initialize:
            raise self._error(
                step,
                f"the detector's state is {state!r}: it needs `initialize`; set `initialize` to true, or do it there",
            )
        log.warning("DCU at %s: the detector's state is %r; it is initialized", self.simplon.url, state)
        command, timeout_s = self.simplon.command, self._settings.initialize_timeout_s
        errand = Errand("eiger-initialize", lambda: command("initialize", "initialize", timeout_s))
        self._initializing = errand, time.monotonic()
        self._wait_initialized(step)

    def _wait_initialized(self, step: str) -> None:
        """Waits for some seconds only: nobody may be held up for the minutes that it can take."""
        assert self._initializing is not None  # noqa: S101  # the callers see to it
        errand, began = self._initializing
        if not errand.wait(self._settings.answer_timeout_s):
            raise self._error(
                step,
                f"the detector has been initializing for {time.monotonic() - began:.0f} s, which may take "
                f"{self._settings.initialize_timeout_s:g} s; try again when it is done",
            )
        self._initializing = None
        if errand.error is not None:
            raise HardwareError(str(errand.error)) from errand.error

    @property
    def initializing(self) -> bool:
        """Whether it was told to initialize, and is not done. Any thread may ask."""
        initializing = self._initializing
        return initializing is not None and not initializing[0].done

    # -- settings -------------------------------------------------------------------------------

    def apply(self, step: str, settings: EigerSettings) -> tuple[str, ...]:
        """Sets what differs, and names all keys that are set; a refused setting changes nothing."""
        self._settings = settings
        keys = self.configuration.apply(step, wishes(settings))
        if settings.period_s == 0 and (shortest := self._shortest_period()) is not None:
            keys += self.configuration.apply(step, [Wish("period_s", ("frame_time",), shortest)])
        return keys

    def _shortest_period(self) -> float | None:
        frame_time = self.configuration.get("frame_time")
        if frame_time is None:
            return None
        dead = self.configuration.number("detector_readout_time", 0.0)
        shortest = self.configuration.number("count_time", 0.0) + dead
        return max(shortest, frame_time.min or 0.0)

    # -- a series -------------------------------------------------------------------------------

    def make_free(self, step: str) -> None:
        """Makes sure that nobody has a series there, and that the sensor can be used."""
        state = self._wait_for_state(step, self._settings.end_timeout_s)
        if state != _IDLE:
            # What we armed is ours, also where the DCU's answer came too late.
            if not self._settings.take_over and not self.claim.holds(step):
                raise self._error(
                    step,
                    f"the detector's state is {state!r}, expected {_IDLE!r}: another client has armed it, or an "
                    "acquirer that has died; end that series there, or set `take_over` to true",
                )
            log.warning("DCU at %s: the detector's state is %r; that series is aborted", self.simplon.url, state)
            self.abort(step)
        voltage = self.high_voltage(step)
        if self._settings.require_high_voltage and voltage not in _READY:
            raise self._error(
                step,
                f"the sensor's high voltage is {voltage}, expected READY: frames would mean nothing; switch it on "
                "(command hv_enabled or hv_reset on the DCU), or set `require_high_voltage` to false",
            )

    def _wait_for_state(self, step: str, timeout_s: float, states: Collection[str] = (_IDLE,)) -> str:
        """The state, once it is one of these, or after that time: it may become so while a series ends."""
        deadline = time.monotonic() + timeout_s
        while (state := self.simplon.state(step)) not in states and time.monotonic() < deadline:
            time.sleep(_TICK_S)
        return state

    def high_voltage(self, step: str) -> str:
        """Its state; "" where the sensor has none that is told."""
        found = self.simplon.find(step, "high_voltage/state", task="status")
        return str(found.value) if found is not None else ""

    def prepare(self, step: str, settings: EigerSettings, plan: Plan, appendix: str) -> None:
        """Sets everything that this one series is to be taken with."""
        keys = self.apply(step, settings)
        series = {"trigger_mode": plan.mode, "nimages": plan.images, "ntrigger": plan.triggers}
        keys += self.configuration.apply(step, [Wish(key, (key,), value) for key, value in series.items()])
        self.claim.note(keys)
        self._mend_stream(step)
        stream = {"mode": "enabled", "header_detail": settings.header_detail, "header_appendix": appendix}
        self._set_stream_format(step)
        for key, value in stream.items():
            self._set(step, "stream", key, value)
        if settings.vendor_files is not None:
            self._set(step, "filewriter", "mode", "enabled" if settings.vendor_files else "disabled")

    def _mend_stream(self, step: str) -> None:
        """A stream in an error sends nothing; its own `initialize` ends that, and switches it off."""
        if self.stream_state(step) != _ERROR:
            return
        log.warning("DCU at %s: the stream's state is 'error'; it is initialized", self.simplon.url)
        try:
            self.simplon.command(step, "initialize", self._settings.answer_timeout_s, module="stream")
        except SimplonError as error:
            raise HardwareError(str(error)) from error
        if self.stream_state(step) == _ERROR:
            raise self._error(step, "the stream's state is 'error', also once it was initialized; restart the DCU")

    def _set_stream_format(self, step: str) -> None:
        version = self._settings.stream_version
        has_formats = self._set(step, "stream", "format", {"v1": "legacy", "v2": "cbor"}[version])
        if not has_formats and version != "v1":
            raise self._error(step, "this DCU has no stream v2 (no stream/config/format); set stream_version to v1")

    def _set(self, step: str, module: str, key: str, value: Any) -> bool:
        """Whether the DCU has that key."""
        found: Parameter | None = self.simplon.find(step, key, module)
        if found is None:
            return False
        if not found.is_set_to(value):
            typed = found.wire(f"{module}/config/{key}", value) if found.value_type != "any" else value
            self.simplon.put(step, key, typed, module, found.expected)
        return True

    def arm(self, step: str, appendix: str) -> int | None:
        """Arms; the number of the series, as the DCU says it."""
        # Not before: while it is only set up, another client may arm it with our appendix.
        self.claim.stake(appendix)
        self._arming = time.monotonic()
        try:
            with self.claim.undisturbed(step):
                number = self.simplon.command(step, "arm", self._settings.arm_timeout_s)
        except SimplonError as error:
            # Whatever it says: a detector that was set up without complaint, and can't be armed, is not well.
            raise HardwareError(str(error)) from error
        finally:
            self._arming = None
        return number

    @property
    def unanswered(self) -> str:
        """That `arm` was not answered for some seconds; else "". Any thread may ask."""
        began = self._arming
        if began is None or (silent_s := time.monotonic() - began) < _SILENT_S:
            return ""
        limit_s = self._settings.arm_timeout_s
        return f"arming: the DCU has not answered for {silent_s:.0f} s (at most {limit_s:g} s: arm_timeout_s)"

    def check_armed(self, step: str) -> None:
        """Reads again what is set now that it is armed; raises `MixedUpError` if another client has changed it."""
        self.claim.confirm(step)
        self.configuration.reload(step, self.claim.keys)
        self.claim.check(step)

    def forget(self) -> None:
        """Our series has ended: whatever is armed from now on is another client's, until we arm again."""
        self.claim.forget()

    def trigger(self, plan: Plan) -> None:
        """One trigger of ours; returns when its images are taken. Blocks for as long."""
        frame_s = self.configuration.number("frame_time", 0.0)
        delay_s = self.configuration.number("trigger_start_delay", 0.0)
        timeout_s = min(frame_s * plan.images + delay_s + self._settings.trigger_margin_s, _LONGEST_S)
        exposure_s = self.configuration.number("count_time", 0.0) if plan.mode == "inte" else None
        for _ in range(plan.starts):
            self.simplon.command("trigger", "trigger", timeout_s, exposure_s)

    def finish(self) -> None:
        """Ends a series whose images are all taken, if the detector doesn't end it by itself within a moment."""
        if self._wait_for_state("disarm", self._settings.end_timeout_s / 2) != _IDLE:
            self.simplon.command("disarm", "disarm", self._settings.answer_timeout_s)

    def stop(self) -> None:
        """Ends the series, behind the image that is being taken."""
        state = self.simplon.state("disarm")
        if state == _ACQUIRE:
            wait_s = self.configuration.number("frame_time", 0.0) + self._settings.answer_timeout_s
            self.simplon.command("disarm", "cancel", wait_s)
            state = self._wait_for_state("disarm", wait_s, (_IDLE, "ready"))
        if state != _IDLE:
            self.simplon.command("disarm", "disarm", self._settings.answer_timeout_s)
        self.forget()

    def abort(self, step: str) -> None:
        """Ends the series now."""
        self.simplon.command(step, "abort", self._settings.answer_timeout_s)
        if self.simplon.state(step) != _IDLE:
            self.simplon.command(step, "disarm", self._settings.answer_timeout_s)
        self.forget()

    # -- status ---------------------------------------------------------------------------------

    def looker(self) -> Callable[[], Seen]:
        """A function that looks at the status, for a thread of its own."""
        has_voltage = bool(self.high_voltage("watch"))

        def look() -> Seen:
            at = time.monotonic()
            state = self.simplon.state("watch")
            voltage = self.high_voltage("watch") if has_voltage else ""
            return Seen(at, state, self.dropped("watch"), voltage, self.stream_state("watch"))

        return look

    def stream_state(self, step: str) -> str:
        """The state of its stream: disabled, ready, acquire or error; "" where it doesn't say."""
        found = self.simplon.find(step, "state", "stream", "status")
        return str(found.value) if found is not None else ""

    def dropped(self, step: str) -> int | None:
        """How many images of the series the stream has dropped, because nobody took them in time; None where the DCU
        does not count them."""
        found = self.simplon.find(step, "dropped", "stream", "status")
        return int(found.value) if found is not None and isinstance(found.value, int) else None

    def _error(self, step: str, problem: str) -> HardwareError:
        return HardwareError(f"DCU at {self.simplon.url}: {step}: {problem}")

    def close(self) -> None:
        """Closes the connections; what waits for an answer is interrupted. Closing twice does no harm."""
        self.simplon.close()
        if (initializing := self._initializing) is not None:
            initializing[0].wait(self._settings.answer_timeout_s)
