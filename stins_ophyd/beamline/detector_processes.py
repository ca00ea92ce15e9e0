"""The processes of one detector: acquirer, recorders, and what stands in for the hardware."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from stins import StinsError
from stins.daemon import ConfigError, Ready

from ..controller import Controller
from ..processes import DaemonProcess, Kind, ProcessError
from .addresses import controller_at
from .config import DetectorConfig
from .simulators import SimulatorProcess

__all__ = ["DetectorProcesses", "acquirer_config"]


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
            self.acquirer = _start(name, "acquirer", acquirer_config(name, acquirer, len(recorders)), folder)
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
        return controller_at(self.addresses, self.backend)

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
        raise ProcessError(f"detectors.{name}.simulator: {error}", refused=error.refused) from error


def acquirer_config(name: str, config: Mapping[str, Any], recorders: int) -> dict[str, Any]:
    """The configuration of that detector's acquirer, which says how many recorders there are.

    Raises:
        ConfigError: it says already that there are more, or fewer.
    """
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


def _start(detector: str, kind: Kind, config: Mapping[str, Any], folder: Path | None) -> DaemonProcess:
    """A process, or an error that says which part of the beamline file it is about."""
    try:
        return DaemonProcess(kind, config, folder=folder)
    except ProcessError as error:
        raise ProcessError(f"detectors.{detector}.{kind}: {error}", refused=error.refused) from error
