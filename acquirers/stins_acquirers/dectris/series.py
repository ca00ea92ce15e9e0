"""One armed series of the detector: what comes of it, and how it ends."""

import logging
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from ..backend import BackendError, Ending, Frame, HardwareError, Opening
from .dcu import Dcu
from .drops import Drops
from .errand import Errand, in_time
from .incoming import Identity, Incoming
from .link import Link
from .losses import Conclusion, Losses, conclude
from .numbering import Numbering, Spans
from .plan import Plan
from .settings import EigerSettings
from .watch import Watch

__all__ = ["EigerSeries"]

log = logging.getLogger(__name__)

_BATCH: Final = 32
_WATCH_S: Final = 0.5
_TICK_S: Final = 0.05
#: What comes sooner was there already.
_WAITED_S: Final = 0.0005
#: How long a thread may take to end once nothing holds it up.
_JOIN_S: Final = 2.0
_GONE: Final = ("na", "initialize")
_VOLTAGE_BAD: Final = ("OFF", "RAMPING")


class EigerSeries:
    """Reads what belongs to the series `identity`. It is over when the detector says so: by its end message, or by its
    state once nothing more comes.
    """

    def __init__(self, dcu: Dcu, link: Link, plan: Plan, identity: Identity, settings: EigerSettings) -> None:
        self._dcu = dcu
        self._link = link
        self._plan = plan
        self._identity = identity
        self._settings = settings
        self._numbering = Numbering(plan.per_trigger if plan.stepwise else 0)
        self._losses = Losses()
        self._triggers = 0
        #: Whether what comes ends with the series: no further command has to be waited for.
        self._to_the_end = not plan.by_command
        self._errand: Errand | None = None
        self._armed = self._heard = time.monotonic()
        #: Since when the detector has been done, as its state or the trigger's answer says.
        self._idle_since: float | None = None
        self._taken_since: float | None = None
        self._ours = True
        self._stopped: float | None = None
        self._over = False
        self._end_came = False
        self._ending: Ending | None = None
        self._repeated = 0
        self._watch = Watch(dcu.looker(), _WATCH_S)
        self._drops = Drops(self._watch, lambda: dcu.dropped("end"))

    # -- triggers -------------------------------------------------------------------------------

    def trigger(self, first_frame: int | None) -> None:
        """Has the images of one trigger taken, in a thread: the DCU answers when they are."""
        if not self._plan.by_command:
            raise BackendError(
                "trigger: this series is triggered by a cable; arm with another trigger_mode for commands"
            )
        if self._last_is_given:
            raise BackendError(
                f"trigger: the detector was armed for {self._triggers} triggers, and has had them (frames that are "
                "taken again count too); arm with `triggers: null` where that may happen"
            )
        if self._errand is not None and not self._errand.wait(self._settings.answer_timeout_s):
            raise HardwareError(
                f"trigger: the DCU has not answered the trigger before this one within "
                f"{self._settings.answer_timeout_s:g} s after its images"
            )
        self._check_errand()
        self._numbering.trigger(first_frame)
        self._triggers += 1
        self._to_the_end = self._last_is_given
        self._taken_since = None
        self._heard = time.monotonic()
        self._errand = Errand("eiger-trigger", self._take_last if self._last_is_given else self._take)

    def _take(self) -> None:
        self._dcu.trigger(self._plan)

    def _take_last(self) -> None:
        self._dcu.trigger(self._plan)
        self._dcu.finish()

    @property
    def _last_is_given(self) -> bool:
        return self._plan.allowed is not None and self._triggers >= self._plan.allowed

    def triggered(self) -> bool:
        """Whether images are still to come; behind the last trigger, whether the end is."""
        if self._over or self._stopped is not None:
            return False
        return self._to_the_end or self._numbering.next_image < self._numbering.triggered

    # -- images ---------------------------------------------------------------------------------

    def read(self, timeout_s: float) -> Sequence[Frame]:
        """The frames that are there; after `stop`, those that are left, waiting for the detector's end."""
        frames: list[Frame] = []
        asked = time.monotonic()
        while not self._over and len(frames) < _BATCH:
            incoming = self._link.receive(0.0 if frames else timeout_s if self._stopped is None else _TICK_S)
            if incoming is not None:
                self._take_in(incoming, frames)
                if frames and self._heard - asked > _WAITED_S:
                    # Nothing is behind an image that had to be waited for, or not much: to look costs as much as an
                    # image's way to its mould.
                    break
            elif self._stopped is None:
                break
            elif time.monotonic() - max(self._heard, self._stopped) > self._settings.end_timeout_s:
                log.warning("%s: the end of the series did not come after it was disarmed", self._link.endpoint)
                self._over = True
            elif frames:
                break
        if not frames and not self._over:
            self._look()
        return frames

    def _take_in(self, incoming: Incoming, frames: list[Frame]) -> None:
        value = incoming.value
        if incoming.series is not self._identity:
            if incoming.series != self._identity:
                self._pass_foreign(incoming)
                return
            # The images of a series share theirs: that it is the same is seen at once.
            self._identity = incoming.series
        self._heard = time.monotonic()
        if isinstance(value, Frame):
            self._take_image(value, frames)
        elif isinstance(value, Ending):
            self._end_came = True
            self._ends()

    def _ends(self) -> None:
        """The detector's own end."""
        self._over = True
        self._dcu.forget()

    def _take_image(self, image: Frame, frames: list[Frame]) -> None:
        before = self._numbering.next_image
        taken = self._numbering.take(image.number)
        if taken is None:
            self._repeated += 1
            if self._repeated == 1:
                log.warning("%s: image %d came again; it is left out", self._link.endpoint, image.number)
            return
        number, lost = taken
        if lost:
            if not self._losses.images:
                # The first is where a plan fails: its reason is not to wait until it is time for a look.
                self._watch.hurry()
            self._losses.add(lost, image.number - before, self._heard)
        if number != image.number or self._losses.declared:
            image = msgspec.structs.replace(image, number=number, frames_dropped=self._losses.take())
        frames.append(image)

    def _pass_foreign(self, incoming: Incoming) -> None:
        if isinstance(incoming.value, Opening) and self._stopped is None:
            self._ours = False
            self._dcu.forget()
            raise HardwareError(
                f"stream {self._link.endpoint}: another client has armed the detector (its series {incoming.series}) "
                f"in the middle of series {self._identity}; one of them has to wait for the other"
            )
        # What is left of another series, or the second end of one: it is nobody's.

    # -- what the stream doesn't say ------------------------------------------------------------

    def _look(self) -> None:
        """Nothing came: is the detector done, or is it gone?"""
        self._check_errand()
        now, quiet_s = time.monotonic(), self._settings.end_timeout_s
        self._check_dcu(now)
        if self._is_idle(now) and now - max(self._heard, self._idle_since or now) > quiet_s:
            log.warning("%s: the detector is done, but the end of the series did not come", self._link.endpoint)
            self._ends()
        elif self._errand is None and self._is_complete:
            # No command ends a series that a cable triggers, and the detector may not do so itself.
            self._errand = Errand("eiger-disarm", self._dcu.finish)
        else:
            self._give_up_images(now, quiet_s)

    def _check_errand(self) -> None:
        if self._errand is not None and self._errand.done and self._errand.error is not None and self._stopped is None:
            error, self._errand.error = self._errand.error, None
            raise HardwareError(f"{error}; image {self._numbering.next_image} would have been the next") from error

    def _check_dcu(self, now: float) -> None:
        watch, limit_s = self._watch, self._settings.lost_timeout_s
        if watch.silent_s > limit_s and now - self._heard > limit_s:
            raise HardwareError(
                f"the DCU is gone in the middle of the series: nothing came for {limit_s:g} s from the stream "
                f"{self._link.endpoint}, nor an answer ({watch.problem}); look after the DCU and the network, then arm "
                "again"
            )
        seen = watch.seen
        if seen is None or seen.at < self._armed:
            return
        where = f"DCU at {self._dcu.simplon.url}: "
        if seen.state in _GONE:
            raise HardwareError(
                f"{where}it was restarted in the middle of the series (state {seen.state!r}): image "
                f"{self._numbering.next_image} and all behind it are lost; arm again"
            )
        if seen.state == "error":
            raise HardwareError(f"{where}the detector's state is 'error'; arm again, which initializes it")
        if seen.stream == "error":
            raise HardwareError(
                f"{where}its stream's state is 'error': image {self._numbering.next_image} and all behind it are lost; "
                "look after the network to the DCU, then arm again, which initializes the stream"
            )
        if self._settings.require_high_voltage and seen.high_voltage in _VOLTAGE_BAD:
            raise HardwareError(
                f"{where}the sensor's high voltage is {seen.high_voltage} in the middle of the series, since image "
                f"{self._numbering.next_image} or before; switch it on, then arm again"
            )

    def _is_idle(self, now: float) -> bool:
        seen = self._watch.seen
        if seen is None or seen.at < self._armed or seen.state != "idle":
            self._idle_since = None
            return False
        self._idle_since = self._idle_since or now
        return True

    @property
    def _is_complete(self) -> bool:
        """Whether all images have come, or are known to be lost: those that were dropped behind the last that came."""
        gone = self._numbering.next_image + max(0, self._drops.told(self._armed).images - self._losses.images)
        return self._plan.expected is not None and gone >= self._plan.expected

    @property
    def _all_came(self) -> bool:
        """Whether all images of the triggers so far have come."""
        return self._is_complete or (self._plan.stepwise and self._numbering.next_image >= self._numbering.triggered)

    def _give_up_images(self, now: float, quiet_s: float) -> None:
        """The DCU says that a trigger's images are taken, but not all came: they are lost, others may follow.

        Where it has dropped as many as are missing, nothing is on its way that could be waited for.
        """
        if self._errand is None or not self._errand.done or self._last_is_given:
            return
        self._taken_since = self._taken_since or now
        first, last = self._numbering.next_image, self._numbering.triggered - 1
        told = self._drops.told(self._taken_since)
        all_dropped = not told.late and told.images - self._losses.images > last - first
        if first <= last and (all_dropped or now - max(self._heard, self._taken_since) > quiet_s):
            log.warning("%s: images %d to %d did not come", self._link.endpoint, first, last)
            self._losses.add(self._numbering.lose_up_to(last + 1), last + 1 - first, self._taken_since)

    # -- the end --------------------------------------------------------------------------------

    def over(self) -> bool:
        """Whether nothing more is read from the stream."""
        # Asked with each image, as `triggered` and `ending` are: a property costs 1 us more.
        return self._over

    def ending(self) -> Ending | None:
        """The detector's own end; after `stop` only where something was lost."""
        if not self._over:
            return None
        if self._ending is None:
            on_request = self._stopped is not None
            how = Conclusion(expected=self._plan.expected, on_request=on_request, end_came=self._end_came)
            self._ending = conclude(self._numbering, self._losses, how, self._drops.ask)
        return None if self._stopped is not None and self._ending == Ending() else self._ending

    def lost(self) -> Spans:
        """Frames that are lost, and that no frame has named yet."""
        return self._losses.declared

    def why_lost(self, *, quickly: bool = False) -> str:
        """Why images did not come; "" where none are lost. `quickly`: as far as the DCU has said so already."""
        self._losses.explain(self._drops.told)
        # It is asked only where what it said last does not account for them: an abort is not to wait for a DCU.
        if not quickly and not self._losses.explained:
            self._losses.settle(self._drops.ask())
        return self._losses.why

    def stop(self) -> None:
        """Ends the series in good order. Its threads end."""
        if self._stopped is not None:
            return
        self._stopped = time.monotonic()
        try:
            if not self._over:
                if self._errand is not None and self._all_came:
                    # The DCU is about to answer, and is not to be cut short.
                    self._errand.wait(self._settings.end_timeout_s)
                self._dcu.stop()
                self._stopped = time.monotonic()
        except Exception:
            self._over = True
            raise
        finally:
            self._join()

    def abort(self) -> None:
        """Ends the series now: what was not read is lost. Its threads end."""
        if self._stopped is not None:
            return
        self._stopped = time.monotonic()
        over, self._over = self._over, True
        try:
            if not over and self._ours:
                self._dcu.abort("abort")
        finally:
            self._join()

    def _join(self) -> None:
        self._watch.close()
        waits = [self._watch.join] if self._errand is None else [self._errand.wait, self._watch.join]
        # The trigger is answered when the series has ended; it is cut short only where it isn't.
        if not in_time(waits, _JOIN_S):
            self._dcu.simplon.interrupt()
            if not in_time(waits, _JOIN_S):
                log.warning("%s: the DCU holds up a command still", self._dcu.simplon.url)
