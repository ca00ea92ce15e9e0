"""One start of the detector: begun, heard of until it has ended, and ended before its time."""

import logging
import time
from pathlib import PurePath
from typing import Final

from ...backend import HardwareError
from .camserver import INTERRUPTS, Camserver
from .exposure_commands import start_commands
from .folder import Run
from .plan import Plan
from .replies import END_OF_SERIES, Reply
from .settings import PilatusSettings

__all__ = ["Exposing"]

log = logging.getLogger(__name__)

#: An abort is answered within some tenths of a second; one that is not is repeated in other words.
_KILL_S: Final = 1.0
#: PILATUS3 may answer twice; the second answer comes when the last image is written.
_SECOND_S: Final = 1.0


class Exposing:
    """`run` are its images: `first` to `first + images - 1`; `error` is what ended it before its time."""

    def __init__(self, camserver: Camserver, plan: Plan, run: Run, first: int, images: int) -> None:
        self._camserver = camserver
        self._plan = plan
        self.run = run
        self.first = first
        self.images = images
        self.error: HardwareError | None = None
        self.last = ""
        self.began = time.monotonic()
        self.began_ns = time.time_ns()
        self.ended: float | None = None
        self._killed = self._said_ok = self._said_error = False

    @property
    def last_frame(self) -> int | None:
        """The number of the image that camserver says was the last; None if it has not said."""
        digits = self.last.removesuffix(".cbf").rpartition("_")[2]
        return int(digits) if digits.isdigit() else None

    def begin(self, step: str, settings: PilatusSettings) -> None:
        """Has the detector begin, or wait for the cable."""
        self._camserver.forget()
        for command in start_commands(settings, self.first, self.images):
            self._camserver.command(step, command)
        self._camserver.command(step, f"{self._plan.start} {self.run.name(self.first)}")
        self.began, self.began_ns = time.monotonic(), time.time_ns()

    def due(self, frame: int) -> float | None:
        """When (`time.monotonic`) a frame is there; None: nobody knows, it is for the cable to say."""
        if self.ended is not None:
            return self.ended
        if self._plan.external:
            return None
        return self.began + self._plan.first_s + (frame - self.first) * self._plan.frame_s

    def hear(self, timeout_s: float) -> None:
        """Waits at most so long for camserver to say something; that it is gone is the end, too."""
        if self.error is not None:
            time.sleep(timeout_s)
            return
        try:
            reply = self._camserver.hear("acquire", timeout_s)
            while reply is not None:
                self._heard(reply)
                reply = self._camserver.hear("acquire", 0.0)
        except HardwareError as error:
            self.fail(error)

    def fail(self, error: HardwareError) -> None:
        """Something has ended it; the images that were taken are still to be read."""
        self.error = self.error or error
        self.ended = self.ended or time.monotonic()

    def _heard(self, reply: Reply) -> None:
        if reply.code != END_OF_SERIES:
            return
        if not reply.good:
            self._said_error = True
            if not self._killed:
                self.fail(self._failed(reply.text))
        elif PurePath(reply.text).name.startswith(f"{self.run.stem}_"):
            self.last = PurePath(reply.text).name
        elif not self._killed:
            # The end of a series that was aborted, come late.
            log.info("camserver at %s: %s", self._camserver.address, reply)
            return
        self._said_ok |= reply.good
        self.ended = self.ended or time.monotonic()

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended within that time."""
        until = time.monotonic() + timeout_s
        while self.ended is None and (left := until - time.monotonic()) > 0:
            self.hear(left)
        return self.ended is not None

    def kill(self, step: str) -> None:
        """Ends it now, and leaves nothing said about it that could be taken for an answer to the next command.

        Raises:
            HardwareError: camserver does not answer.
        """
        if self.ended is not None:
            return
        self._killed = True
        for word in INTERRUPTS:
            self._camserver.interrupt(step, word)
            if self.wait(_KILL_S):
                break
        until = time.monotonic() + _SECOND_S
        while self._said_error and not self._said_ok and (left := until - time.monotonic()) > 0:
            self.hear(left)
        self.ended = self.ended or time.monotonic()
        self._camserver.synchronize(step)

    def _failed(self, reason: str) -> HardwareError:
        return HardwareError(
            f"camserver at {self._camserver.address}: acquire: the exposures ended with "
            f"{reason or 'no reason given'!r}; look at its window, and whether its folder is full"
        )

    def check(self) -> None:
        """Raises what ended it before its time."""
        if self.error is not None:
            raise self.error
