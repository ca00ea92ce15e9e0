"""A DECTRIS detector, simulated, with all that a real one has around it, and its test hook."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from stins_ophyd import Beamline, Controller, StinsDetector, make_detector
from stins_ophyd.beamline import BeamlineConfig, DetectorConfig, DetectorProcesses, SimulatorProcess
from stins_ophyd.controller import deadlines_of

DEADLINE_S = 20.0
#: Small images, no waiting.
EIGER: dict[str, Any] = {"kind": "eiger", "shape": [64, 48], "pool": 4, "initialize_s": 0, "arm_s": 0}
PILATUS: dict[str, Any] = {"kind": "pilatus", "shape": [40, 60], "pool": 3, "threshold_s": 0}


@contextmanager
def running(name: str, folder: Path, simulator: dict[str, Any], **settings: Any) -> Iterator[DetectorProcesses]:
    """Simulator, acquirer and recorder of one detector, as a beamline file starts them."""
    config = DetectorConfig(
        simulator=simulator, acquirer={"backend": simulator["kind"], "settings": settings}, recorder={"roots": [folder]}
    )
    with Beamline(BeamlineConfig(data=folder, detectors={name: config})) as beamline:
        yield beamline.detectors[name]


@contextmanager
def device(processes: DetectorProcesses) -> Iterator[StinsDetector]:
    """The device for them, with the deadlines of its backend, shorter where a failure is waited for."""
    deadlines = msgspec.structs.replace(deadlines_of(processes.backend), stall_s=2.0)
    addresses = processes.addresses
    controller = Controller(addresses["acquirer"], addresses["recorder"], deadlines=deadlines)
    detector = make_detector(processes.name, controller)
    yield detector
    detector.destroy()


def simulator_of(processes: DetectorProcesses) -> SimulatorProcess:
    """What stands in for the detector."""
    assert processes.simulator is not None
    return processes.simulator


class EigerHook:
    """What comes over a cable, and faults: `/simulator` of a simulated EIGER."""

    def __init__(self, processes: DetectorProcesses) -> None:
        self._client = httpx.Client(base_url=simulator_of(processes).address, timeout=DEADLINE_S, trust_env=False)

    def pulse(self, **train: Any) -> int:
        """External pulses; how many started something."""
        return int(self._client.post("/simulator/trigger", json=train).raise_for_status().json()["taken"])

    @property
    def busy(self) -> bool:
        """Whether a series is open there."""
        return bool(self._client.get("/simulator/status").raise_for_status().json()["state"] != "idle")

    def fault(self, kind: str, **fault: Any) -> None:
        """Something goes wrong."""
        self._client.post("/simulator/faults", json={"kind": kind, **fault}).raise_for_status()

    def clear(self) -> None:
        """Nothing does any more."""
        self._client.delete("/simulator/faults").raise_for_status()

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()


class PilatusHook:
    """The same of a simulated camserver: lines of text over TCP."""

    def __init__(self, processes: DetectorProcesses) -> None:
        host, _, port = simulator_of(processes).process.told["hook"].rpartition("://")[2].rpartition(":")
        self._socket = socket.create_connection((host, int(port)), DEADLINE_S)
        self._answers = self._socket.makefile()

    def pulse(self, count: int = 1) -> int:
        """External pulses; how many started something."""
        return int(self._say(f"trigger {count}")["taken"])

    @property
    def busy(self) -> bool:
        """Whether images are taken there."""
        return bool(self._say("status")["taking_images"])

    def fault(self, kind: str, **fault: Any) -> None:
        """Something goes wrong."""
        self._say(f"fault {msgspec.json.encode({'kind': kind, **fault}).decode()}")

    def clear(self) -> None:
        """Nothing does any more."""
        self._say("clear")

    def _say(self, line: str) -> dict[str, Any]:
        self._socket.sendall(line.encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._answers.readline())
        assert "error" not in answer, answer
        return answer

    def close(self) -> None:
        """Closes the connection."""
        self._answers.close()
        self._socket.close()
