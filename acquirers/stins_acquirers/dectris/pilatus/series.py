"""One series: starts of the detector, and their images in order."""

import time
from collections.abc import Sequence
from typing import Final
from uuid import uuid4

from stins.errors import CbfError

from ...backend import BackendError, Ending, Frame, HardwareError
from .camserver import Camserver
from .exposing import Exposing
from .folder import ImageFolder, Run
from .frames import FrameMaker
from .image import Image, parse_image
from .plan import Plan
from .room import RoomWatch
from .settings import PilatusSettings

__all__ = ["PilatusSeries"]

#: Frames handed over at once: enough that the loop around them costs nothing, few enough that commands are heard.
_BATCH: Final = 16
#: A file that is not whole is not read anew for every look.
_RETRY_S: Final = 0.05
#: How long images may take to appear behind the word that something went wrong.
_GRACE_S: Final = 1.0


class PilatusSeries:
    """Images that never came are declared as dropped, and those behind them handed over; then the series fails."""

    def __init__(
        self, camserver: Camserver, folder: ImageFolder, plan: Plan, settings: PilatusSettings, frames: FrameMaker
    ) -> None:
        self._camserver = camserver
        self._folder = folder
        self._plan = plan
        self._settings = settings
        self._frames = frames
        self._room = RoomWatch(folder, settings)
        self._tag = uuid4().hex[:8]
        self._starts = 0
        self._exposing: Exposing | None = None
        # The frame that is next, and the first that is not of the present start.
        self._next = self._until = 0
        self._retry = 0.0
        self._problem = ""
        self._dropped: tuple[tuple[int, int], ...] = ()
        self._lost: list[str] = []

    # -- starts ---------------------------------------------------------------------------------

    def begin(self, step: str, first_frame: int | None = None) -> None:
        """Has the detector take the images of one start, from frame `first_frame` on."""
        timeout_s = self._settings.answer_timeout_s
        if self._exposing is not None and not self._exposing.wait(timeout_s):
            raise BackendError(f"{step}: the exposures before have not ended within {timeout_s:g} s; disarm or abort")
        first = self._next if first_frame is None else first_frame
        images = (self._plan.expected or 0) - first if self._plan.images is None else self._plan.images
        if images < 1:
            raise BackendError(f"{step}: first_frame: got {first}, expected less than {self._plan.expected}")
        self._room.look()
        exposing = Exposing(self._camserver, self._plan, Run.of(self._tag, self._starts), first, images)
        exposing.begin(step, self._settings)
        self._exposing, self._starts = exposing, self._starts + 1
        self._next, self._until = first, first + images

    def stop(self) -> None:
        """Ends it; `read` gives the images that were taken. Twice does no harm."""
        if self._exposing is not None and self._exposing.ended is None:
            self._stop(self._exposing, "disarm")

    def _stop(self, exposing: Exposing, step: str) -> None:
        exposing.kill(step)
        taken = [
            number + 1 for number in (exposing.last_frame, *self._folder.frames(exposing.run)) if number is not None
        ]
        self._until = max(self._next, min(self._until, max(taken, default=0)))

    def abort(self) -> bool:
        """Ends it now; whether camserver was told, or need not be. Images that are not recorded stay."""
        self._folder.keep()
        exposing, self._exposing = self._exposing, None
        if exposing is None or (exposing.ended is not None and exposing.error is None):
            return True
        if not self._camserver.connected:
            return False
        exposing.kill("abort")
        return True

    @property
    def triggered(self) -> bool:
        """Whether something of the present start is still to come."""
        exposing = self._exposing
        return exposing is not None and (self._next < self._until or exposing.ended is None)

    @property
    def ending(self) -> Ending | None:
        """Its end, once all frames were read. Raises `HardwareError` if some never came, or camserver has failed."""
        if self._exposing is None or self.triggered:
            return None
        self._exposing.check()
        if self._lost:
            raise HardwareError(self.why_lost)
        expected = self._plan.expected
        return Ending() if expected is not None and self._next >= expected else None

    @property
    def lost(self) -> tuple[tuple[int, int], ...]:
        """Frames that are lost, and that no frame has named yet."""
        return self._dropped

    @property
    def why_lost(self) -> str:
        """Why images did not come, of the first few; "" where none are lost."""
        return "; ".join(self._lost[:3])

    # -- frames ---------------------------------------------------------------------------------

    def read(self, timeout_s: float) -> Sequence[Frame]:
        """The frames that are there, waiting at most `timeout_s` for the first."""
        until = time.monotonic() + timeout_s
        while (exposing := self._exposing) is not None and self.triggered:
            exposing.hear(0.0)
            self._look_at_room(exposing)
            if frames := self._there(exposing, until):
                return frames
            self._pass_over(exposing)
            if (left := until - time.monotonic()) <= 0:
                break
            exposing.hear(min(left, self._settings.poll_interval_s))
        return ()

    def _look_at_room(self, exposing: Exposing) -> None:
        """A folder that is full ends the exposures; what was taken is handed over all the same."""
        if exposing.ended is not None:
            return
        try:
            self._room.look_again(exposing.run)
        except HardwareError as error:
            self._stop(exposing, "acquire")
            exposing.fail(error)

    def _there(self, exposing: Exposing, until: float) -> list[Frame]:
        """At least one, if it is there; unpacking takes its time, and commands are to be heard."""
        frames: list[Frame] = []
        while self._next < self._until and len(frames) < _BATCH and not (frames and time.monotonic() > until):
            name = exposing.run.name(self._next)
            if (image := self._image(name)) is None:
                break
            held = self._folder.hold(name, image.payload)
            dropped, self._dropped, self._problem = self._dropped, (), ""
            frames.append(
                self._frames.frame(self._next, image, held, exposing, dropped=dropped, folder_free=self._room.free)
            )
            self._next += 1
        return frames

    def _image(self, name: str) -> Image | None:
        """The image, if it is there and whole."""
        if self._problem and time.monotonic() < self._retry:
            return None
        content = self._folder.read(name)
        if content is None:
            return None
        try:
            return parse_image(content, self._frames.part)
        except CbfError as error:
            self._problem, self._retry = f"is damaged: {error}", time.monotonic() + _RETRY_S
            return None
        except BackendError as error:
            raise HardwareError(f"{self._folder.path / name}: {error}") from error

    def _pass_over(self, exposing: Exposing) -> None:
        """Goes on behind an image that is overdue, if there are others; raises `HardwareError` if not."""
        due = exposing.due(self._next)
        limit_s = self._settings.image_timeout_s if exposing.error is None else _GRACE_S
        if due is None or time.monotonic() < due + limit_s:
            return
        if self._next >= self._until:
            raise HardwareError(
                f"camserver at {self._camserver.address}: acquire: all images are there, but {limit_s:g} s later it "
                "has not said that the exposures have ended; look at its window"
            )
        later = [number for number in self._folder.frames(exposing.run) if number > self._next]
        end = min(later, default=self._until)
        self._lost.append(self._loss(exposing, end - 1, limit_s))
        if not later:
            exposing.check()
            raise HardwareError(self.why_lost)
        self._dropped = (*self._dropped, (self._next, end - 1))
        self._next, self._problem = end, ""

    def _loss(self, exposing: Exposing, last: int, limit_s: float) -> str:
        names = exposing.run.name(self._next) + (f" to {exposing.run.name(last)}" if last > self._next else "")
        ended = f"; camserver says that the last is {exposing.last}" if exposing.last else ""
        what = self._problem or f"did not appear within {limit_s:g} s of when it was due"
        return f"folder {self._folder.path}: {names} {what}{ended}; is `folder` where camserver writes?"
