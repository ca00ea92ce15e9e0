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
from .losses import Losses
from .plan import Plan
from .room import RoomWatch
from .settings import PilatusSettings

__all__ = ["PilatusSeries"]

#: Frames handed over at once: enough that the loop around them costs nothing, few enough that commands are heard.
_BATCH: Final = 16
#: A file that is not whole is not read anew for every look.
_RETRY_S: Final = 0.05
#: How long images may take to appear behind the word that something went wrong, or once the series is to end.
_GRACE_S: Final = 1.0
#: How often the folder is looked through for images behind the one that is awaited.
_LOOK_S: Final = 0.2


class PilatusSeries:
    """An image that never came is declared as dropped, and the series goes on behind it; its end says what is missing.

    It can't go on, and that is raised, where camserver has failed, or where no image appears at all.
    """

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
        self._overtaken: float | None = None
        self._look = 0.0
        self._losses = Losses()
        self._any_came = self._stopped = False
        self._ending: Ending | None = None

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
        self._losses.taken_again(first)
        self._exposing, self._starts = exposing, self._starts + 1
        self._next, self._until = first, first + images

    def stop(self) -> None:
        """Ends it; `read` gives the images that were taken. Twice does no harm."""
        self._stopped = True
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

    def triggered(self) -> bool:
        """Whether something of the present start is still to come."""
        exposing = self._exposing
        return exposing is not None and (self._next < self._until or exposing.ended is None)

    def ending(self) -> Ending | None:
        """Its end, once all frames were read; after `stop` only where some never came.

        Raises `HardwareError` if camserver has failed.
        """
        if self._exposing is None or self.triggered():
            return None
        self._exposing.check()
        expected = self._plan.expected
        if self._ending is None and (self._stopped or (expected is not None and self._next >= expected)):
            self._ending = self._losses.ending()
        return None if self._stopped and self._ending == Ending() else self._ending

    def lost(self) -> tuple[tuple[int, int], ...]:
        """Frames that are lost, and that no frame has named yet."""
        return self._losses.untold

    def why_lost(self) -> str:
        """Why images did not come, of the first few; "" where none are lost."""
        return self._losses.why

    # -- frames ---------------------------------------------------------------------------------

    def read(self, timeout_s: float) -> Sequence[Frame]:
        """The frames that are there, waiting at most `timeout_s` for the first.

        After `stop` the next of those that are left, waiting for one that is late: whoever gets none has had them all.
        """
        until, poll_s = time.monotonic() + timeout_s, self._settings.poll_interval_s
        while (exposing := self._exposing) is not None and self.triggered():
            exposing.hear(0.0)
            self._look_at_room(exposing)
            if frames := self._there(exposing, until):
                return frames
            self._pass_over(exposing)
            left = until - time.monotonic()
            if left <= 0 and not self._stopped:
                break
            exposing.hear(poll_s if self._stopped else min(left, poll_s))
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
            dropped, self._problem, self._overtaken, self._any_came = self._losses.take(), "", None, True
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
        """Goes on behind an image that is overdue; raises `HardwareError` if there is nothing to go on with."""
        limit_s = self._settings.image_timeout_s
        if self._stopped or exposing.error is not None:
            limit_s = min(limit_s, _GRACE_S)
        if not self._is_overdue(exposing, self._next, limit_s):
            return
        if self._next >= self._until:
            raise HardwareError(
                f"camserver at {self._camserver.address}: acquire: all images are there, but {limit_s:g} s later it "
                "has not said that the exposures have ended; look at its window"
            )
        if (later := self._look_behind(exposing)) is None:
            return
        if not later:
            exposing.check()
            if exposing.ended is None and not self._is_overdue(exposing, self._next + 1, limit_s):
                # The one behind it is to come yet.
                return
            if exposing.ended is None or not self._any_came:
                raise HardwareError(self._loss(exposing, self._until - 1, limit_s))
        end = min(later, default=self._until)
        self._losses.add(self._next, end - 1, self._loss(exposing, end - 1, limit_s))
        self._next, self._problem, self._overtaken, self._look = end, "", None, 0.0

    def _is_overdue(self, exposing: Exposing, frame: int, limit_s: float) -> bool:
        """Whether an image is not only not there, but should have been for so long."""
        now, due = time.monotonic(), exposing.due(frame)
        if due is None:
            # Images are written one after the other: one that a later one has overtaken is late.
            if self._overtaken is None and self._look_behind(exposing):
                self._overtaken = now
            due = self._overtaken
        return due is not None and now >= due + limit_s

    def _look_behind(self, exposing: Exposing) -> list[int] | None:
        """The images that are there behind the next one; None where that was looked for a moment ago."""
        now = time.monotonic()
        if now < self._look:
            return None
        self._look = now + _LOOK_S
        return [number for number in self._folder.frames(exposing.run) if number > self._next]

    def _loss(self, exposing: Exposing, last: int, limit_s: float) -> str:
        names = exposing.run.name(self._next) + (f" to {exposing.run.name(last)}" if last > self._next else "")
        ended = f"; camserver says that the last is {exposing.last}" if exposing.last else ""
        what = self._problem or f"did not appear within {limit_s:g} s of when it was due"
        where = "is `folder` where camserver writes?"
        if self._any_came or last + 1 < self._until:
            where = "others did: look at camserver's window, and who else deletes or writes files there"
        return f"folder {self._folder.path}: {names} {what}{ended}; {where}"
