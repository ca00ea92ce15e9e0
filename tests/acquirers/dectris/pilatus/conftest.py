"""A camserver that is simulated, and backends that drive it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stins_acquirers.dectris.pilatus import PilatusBackend, PilatusSettings
from stins_acquirers.simulate.camserver import Simulator

from tests.acquirers.camserver_kit import simulators


@pytest.fixture
def simulate(tmp_path: Path) -> Iterator[Callable[..., Simulator]]:
    yield from simulators(tmp_path / "ramdisk")


@pytest.fixture
def camserver(simulate: Callable[..., Simulator]) -> Simulator:
    return simulate()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., PilatusBackend]]:
    """Makes a backend: `make(simulator, exposure_s=0.01, ...)`."""
    made: list[PilatusBackend] = []

    def make(simulator: Simulator, **settings: Any) -> PilatusBackend:
        settings = {
            "port": simulator.port,
            "folder": tmp_path / "ramdisk",
            "exposure_s": 0.002,
            "folder_reserve_bytes": 0,
            **settings,
        }
        made.append(PilatusBackend(PilatusSettings(**settings)))
        return made[-1]

    yield make
    for backend in made:
        backend.close()
