"""A beamline file: which detectors there are, and the processes that serve each of them."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import msgspec
from pydantic import Field, StringConstraints, field_validator

from stins import StinsError
from stins.control import NumbersRequest
from stins.daemon import ConfigError, Model, Ready, load_config
from stins.numbers import problem_with

from .controller import Controller, deadlines_of
from .processes import DaemonProcess, Kind, ProcessError
from .run_file import RunFile, running_beamlines
from .simulators import SimulatorProcess

__all__ = [
    "Beamline",
    "BeamlineConfig",
    "DetectorConfig",
    "DetectorProcesses",
    "RunFile",
    "find_controller",
    "load_beamline",
    "running_beamlines",
]


#: What a beamline and its detectors may be called: it stands in names of files, of daemons and of data keys.
_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]


class DetectorConfig(Model):
    """One detector: an acquirer beside its hardware and a recorder, or several that share each series."""

    simulator: dict[str, Any] | None = None
    """What stands in for the detector: `kind` (eiger or pilatus), and options as for `stins simulate KIND`. It is
    started first, and its acquirer is led to it."""
    acquirer: dict[str, Any] = Field(min_length=1)
    """The configuration of its acquirer, as for `stins acquirer --config` (`name` is the detector's)."""
    recorder: dict[str, Any] = {}
    """The configuration of its recorder, as for `stins recorder --config`; `name`, `sources`, `acks` and `roots` have
    defaults: the detector's name, its acquirer, and the beamline's data folder."""
    recorders: int | list[dict[str, Any]] = 1
    """How many recorders share the frames, or what each of them has beside what stands in `recorder`. All of them need
    a root that they all see."""
    numbers: dict[str, Any] | None = None
    """Numbers of each frame that its recorder computes: `keys` (sum, mean, max, saturated), and `regions`, each with
    `name`, `row`, `column`, `rows` and `columns`."""

    @field_validator("numbers")
    @classmethod
    def _check_numbers(cls, numbers: dict[str, Any] | None) -> dict[str, Any] | None:
        if numbers is not None and (problem := problem_with(_request(numbers))):
            raise ValueError(problem)
        return numbers

    @property
    def wanted_numbers(self) -> NumbersRequest | None:
        """The same, as a `StinsDetector` takes it."""
        return None if self.numbers is None else _request(self.numbers)

    @field_validator("recorders")
    @classmethod
    def _check_recorders(cls, recorders: int | list[dict[str, Any]]) -> int | list[dict[str, Any]]:
        if not recorders or (isinstance(recorders, int) and recorders < 0):
            raise ValueError(f"got {recorders}, expected at least 1")
        return recorders

    @property
    def each_recorder(self) -> list[dict[str, Any]]:
        """The configuration of each recorder, by its share."""
        own = [{}] * self.recorders if isinstance(self.recorders, int) else self.recorders
        return [{**self.recorder, **config} for config in own]


def _request(numbers: dict[str, Any]) -> NumbersRequest:
    """Raises `ValueError` with the name of what is wrong."""
    return msgspec.convert(numbers, NumbersRequest)


class BeamlineConfig(Model):
    """A whole beamline."""

    name: _Name = "beamline"
    """Name of the beamline; `stins status NAME` finds its processes by it."""
    data: Path = Path("data")
    """Folder below which files are recorded; relative to the beamline file, `~` is the user's home."""
    detectors: dict[_Name, DetectorConfig] = Field(min_length=1)
    """The detectors by name."""


def load_beamline(path: Path) -> BeamlineConfig:
    """Reads a beamline file; `data` becomes absolute.

    Raises:
        ConfigError: it names the field, the value and what is allowed.
    """
    config = load_config(path, BeamlineConfig)
    return config.model_copy(update={"data": (path.parent / config.data.expanduser()).resolve()})


class DetectorProcesses:
    """The acquirer and the recorders of one detector, and its simulator, as child processes of this one."""

    def __init__(self, name: str, config: DetectorConfig, data: Path, folder: Path | None) -> None:
        self.name = name
        self.backend = str(config.acquirer.get("backend", ""))
        self._folder = folder
        self.simulator = _simulator(name, config, folder)
        recorders = config.each_recorder
        acquirer = self.simulator.acquirer if self.simulator else config.acquirer
        try:
            self.acquirer = _start(name, "acquirer", _acquirer(name, acquirer, len(recorders)), folder)
        except StinsError:
            if self.simulator is not None:
                self.simulator.stop()
            raise
        self.recorders: list[DaemonProcess] = []
        # All at once: a process needs a second or two until it is ready.
        with ThreadPoolExecutor(len(recorders), f"{name}-start") as pool:
            starting = [pool.submit(self._start_recorder, index, config, data) for index in range(len(recorders))]
        try:
            self.recorders = [each.result() for each in starting]
        except StinsError:
            self.recorders = [each.result() for each in starting if each.exception() is None]
            self.stop()
            raise

    def _start_recorder(self, index: int, config: DetectorConfig, data: Path) -> DaemonProcess:
        recorders = config.each_recorder
        own = f"{self.name}-recorder" if len(recorders) == 1 else f"{self.name}-recorder-{index}"
        defaults = {"name": own, "roots": [str(data)], **_source(self.acquirer.ready, index, recorders[index])}
        return _start(self.name, "recorder", {**defaults, **recorders[index]}, self._folder)

    @property
    def processes(self) -> list[DaemonProcess]:
        """The acquirer, then the recorders."""
        return [self.acquirer, *self.recorders]

    @property
    def addresses(self) -> dict[str, str]:
        """Where each is controlled; several recorders are numbered by their share."""
        keys = ["recorder"] if len(self.recorders) == 1 else [f"recorder {i}" for i in range(len(self.recorders))]
        recorders = {key: process.ready.control for key, process in zip(keys, self.recorders, strict=True)}
        return {"acquirer": self.acquirer.ready.control, **recorders}

    def controller(self) -> Controller:
        """A controller of this detector."""
        return _controller(self.addresses, self.backend)

    def ended(self) -> dict[str, str]:
        """What has ended by itself, by its key in `addresses` (or `simulator`), and why; in the order of starting."""
        simulator = {"simulator": self.simulator.process} if self.simulator is not None else {}
        processes = {**simulator, **dict(zip(self.addresses, self.processes, strict=True))}
        return {key: why for key, process in processes.items() if (why := process.ended()) is not None}

    def restart(self, key: str) -> None:
        """Starts one that has ended again, at the same addresses."""
        if key == "simulator" and self.simulator is not None:
            self.simulator.revive()
        elif key == "acquirer":
            self.acquirer = self._again(self.acquirer)
        else:
            index = list(self.addresses).index(key) - 1
            self.recorders[index] = self._again(self.recorders[index])

    def by_hand(self, key: str) -> str:
        """The command that starts one, at the same addresses, in another terminal."""
        process = self.processes[list(self.addresses).index(key)]
        return f"stins {process.kind} --config {process.config_file}"

    def revive(self) -> list[str]:
        """Starts again all that has ended by itself; says what that was."""
        ended = self.ended()
        for key in ended:
            self.restart(key)
        return list(ended.values())

    def _again(self, process: DaemonProcess) -> DaemonProcess:
        process.stop()
        return DaemonProcess(process.kind, process.pinned, folder=self._folder)

    def stop(self) -> None:
        """Ends all. Stopping twice does no harm."""
        # The acquirer first: its series-end lets the recorders close their files in good order.
        for process in self.processes:
            process.stop()
        if self.simulator is not None:
            self.simulator.stop()


def _simulator(name: str, config: DetectorConfig, folder: Path | None) -> SimulatorProcess | None:
    if config.simulator is None:
        return None
    try:
        return SimulatorProcess(config.simulator, config.acquirer, folder)
    except ConfigError as error:
        raise ConfigError(f"detectors.{name}.{error}") from error
    except ProcessError as error:
        raise ProcessError(f"detectors.{name}.simulator: {error}") from error


def _acquirer(name: str, config: Mapping[str, Any], recorders: int) -> dict[str, Any]:
    """The acquirer's configuration, which says how many recorders there are."""
    if recorders == 1:
        return {"name": name, **config}
    stream = config.get("stream", {})
    if not isinstance(stream, Mapping):
        return {"name": name, **config}  # the acquirer refuses it by name
    if stream.get("recorders", recorders) != recorders:
        raise ConfigError(
            f"detectors.{name}: got {recorders} recorders, and {stream['recorders']} in acquirer.stream.recorders; "
            "leave the latter out"
        )
    return {"name": name, **config, "stream": {**stream, "recorders": recorders}}


def _source(acquirer: Ready, index: int, recorder: Mapping[str, Any]) -> dict[str, list[str]]:
    """Where a recorder gets its frames from. Whoever names other sources names their endpoints for acks too."""
    if "sources" in recorder:
        return {}
    return {"sources": [acquirer.streams[index]], "acks": list(acquirer.acks[index : index + 1])}


def _controller(addresses: Mapping[str, str], backend: str) -> Controller:
    recorders = [url for key, url in addresses.items() if key != "acquirer"]
    return Controller(addresses["acquirer"], recorders, deadlines=deadlines_of(backend))


def _start(detector: str, kind: Kind, config: Mapping[str, Any], folder: Path | None) -> DaemonProcess:
    """A process, or an error that says which part of the beamline file it is about."""
    try:
        return DaemonProcess(kind, config, folder=folder)
    except ProcessError as error:
        raise ProcessError(f"detectors.{detector}.{kind}: {error}") from error


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
        """Starts all processes and returns once each has said where it is."""
        for name, detector in self.config.detectors.items():
            folder = self._folder / name if self._folder else None
            self.detectors[name] = DetectorProcesses(name, detector, self.config.data, folder)
        return self

    def stop(self) -> None:
        """Ends all processes. Stopping twice does no harm."""
        for detector in self.detectors.values():
            detector.stop()


def find_controller(beamline: str, detector: str) -> Controller:
    """A controller of a detector of a beamline that `stins up` runs.

    Raises:
        StinsError: no such beamline runs here, or it has no such detector; the text lists those there are.
    """
    run_file = RunFile(beamline)
    detectors = run_file.read()
    if detector not in detectors:
        raise StinsError(f"beamline {beamline!r} has no detector {detector!r}; there are: {', '.join(detectors)}")
    return _controller(detectors[detector], run_file.backend(detector))
