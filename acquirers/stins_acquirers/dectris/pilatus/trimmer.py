"""Sets energy and threshold, which takes camserver up to two minutes: nobody is held up for more than some seconds."""

import logging

from ...backend import BackendError
from .camserver import Camserver, RefusedError
from .energies import Energies, told, trimming
from .settings import PilatusSettings

__all__ = ["Trimmer"]

log = logging.getLogger(__name__)


class Trimmer:
    """`known` is what camserver said last."""

    def __init__(self, camserver: Camserver) -> None:
        self._camserver = camserver
        self.known = Energies()
        self._done: tuple[Energies, Energies] | None = None
        #: What was begun: for which step, by which command, to bring about what.
        self._begun: tuple[str, str, Energies] = ("", "", Energies())

    def read(self, step: str) -> None:
        """Asks camserver."""
        self.known = told(self._ask(step, "setenergy"), self._ask(step, "setthreshold"))

    def _ask(self, step: str, command: str) -> str:
        try:
            return self._camserver.command(step, command).text
        except RefusedError as error:
            if not error.unknown:
                raise
            log.info("%s", error)
            return ""

    def begin(self, step: str, settings: PilatusSettings, wait_s: float) -> None:
        """Has the detector trimmed, if that is needed, and waits so long at most.

        Raises:
            BackendError: camserver refuses.
        """
        wanted = Energies.wanted(settings)
        # What was refused in part (a threshold that is out of range becomes the next possible one) is not asked again.
        command = None if self._done == (wanted, self.known) else trimming(wanted, self.known)
        if command is None:
            return
        log.info(
            "camserver at %s: %s, which may take %g s", self._camserver.address, command, settings.threshold_timeout_s
        )
        self._camserver.begin(step, command, settings.threshold_timeout_s)
        self._begun = step, command, wanted
        if self._camserver.answer(step, wait_s) is not None:
            self._finish(step)

    def look(self) -> str:
        """What is under way, else empty; without waiting, but for what is read back when it is done.

        Raises:
            BackendError: camserver has refused, has not answered in time, or is gone.
        """
        step, command, _ = self._begun
        # An exposure's answer is awaited by others.
        if not command or self._camserver.pending != command:
            return ""
        if self._camserver.answer(step, 0.0) is None:
            return f"{command!r} is under way: the detector is being trimmed"
        self._finish(step)
        return ""

    def wait(self, step: str, settings: PilatusSettings) -> None:
        """Returns once nothing is being trimmed any more.

        Raises:
            BackendError: it takes longer than some seconds, or camserver has refused.
        """
        if not self._camserver.pending:
            return
        if self._camserver.answer(step, settings.answer_timeout_s) is None:
            raise self._under_way(step, settings)
        self._finish(step)

    def _under_way(self, step: str, settings: PilatusSettings) -> BackendError:
        return BackendError(
            f"camserver at {self._camserver.address}: {step}: {self._camserver.pending!r} has been under way for "
            f"{self._camserver.waited_s():.0f} s, which may take {settings.threshold_timeout_s:g} s; try again when it "
            "is done"
        )

    def _finish(self, step: str) -> None:
        wanted = self._begun[2]
        self.read(step)
        self._done = (wanted, self.known)
        if (left := trimming(wanted, self.known)) is not None:
            log.warning("camserver at %s has %s, not what %r asks for", self._camserver.address, self.known, left)

    def apply(self, step: str, settings: PilatusSettings) -> None:
        """Trims the detector as the settings say, or raises what `begin` and `wait` do."""
        self.wait(step, settings)
        self.read(step)
        self.begin(step, settings, settings.answer_timeout_s)
        if self._camserver.pending:
            raise self._under_way(step, settings)

    def settings(self, wanted: PilatusSettings) -> PilatusSettings:
        """The settings with what camserver has."""
        known = self.known
        if self._camserver.pending:
            return wanted
        found = {"incident_energy": known.incident, "threshold_energy": known.threshold, "gain": known.gain}
        return wanted.model_copy(update={name: value for name, value in found.items() if value is not None})
