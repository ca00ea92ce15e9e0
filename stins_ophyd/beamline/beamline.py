"""All processes of a beamline file."""

from pathlib import Path
from types import TracebackType
from typing import Self

from stins.daemon import ConfigError

from ..processes import ProcessError
from .config import BeamlineConfig
from .detector_processes import DetectorProcesses
from .refusals import further_refusals
from .run_file import RunFile

__all__ = ["Beamline"]


class Beamline:
    """The processes of a beamline file, as children of this process; leaving the context ends them.

    Their configurations and messages stand in `folder` (default: a temporary folder each).
    """

    def __init__(self, config: BeamlineConfig, folder: Path | None = None) -> None:
        self.config = config
        self.detectors: dict[str, DetectorProcesses] = {}
        self._folder = folder

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Starts all processes and returns once each has said where it is.

        Raises:
            ConfigError, ProcessError: one cannot be started; the text also says what the others would refuse of theirs.
        """
        for name, detector in self.config.detectors.items():
            folder = self._folder / name if self._folder else None
            try:
                self.detectors[name] = DetectorProcesses(name, detector, self.config.data, folder)
            except (ConfigError, ProcessError) as error:
                # One that has crashed, or has hung, has no quarrel with the file.
                wrong = isinstance(error, ConfigError) or error.refused
                others = further_refusals(self.config, self.detectors, error) if wrong else []
                if not others:
                    raise
                text = "\n  ".join([f"{error}\nrefused as well:", *others])
                if isinstance(error, ConfigError):
                    raise ConfigError(text) from error
                raise ProcessError(text, refused=True) from error
        return self

    def tell(self, run_file: RunFile) -> None:
        """Writes where the processes are."""
        detectors = self.detectors.items()
        run_file.write(
            data=str(self.config.data),
            detectors={name: detector.addresses for name, detector in detectors},
            backends={name: detector.backend for name, detector in detectors},
            simulators={name: detector.simulator.places for name, detector in detectors if detector.simulator},
            numbers={
                name: wanted
                for name, described in self.config.detectors.items()
                if (wanted := described.wanted_numbers) is not None
            },
        )

    def stop(self) -> None:
        """Ends all processes. Stopping twice does no harm."""
        for detector in self.detectors.values():
            detector.stop()
