"""Simulated camservers for tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from stins_acquirers.simulate.camserver import PilatusOptions, Simulator

SHAPE = (20, 30)


def simulators(folder: Path) -> Iterator[Callable[..., Simulator]]:
    """Starts them: `simulate(model="pilatus2-300k", ...)`, with small images in `folder`; they end with the test."""
    running: list[Simulator] = []

    def simulate(**options: Any) -> Simulator:
        options = {"folder": folder, "shape": SHAPE, "pool": 3, "threshold_s": 0.0, **options}
        running.append(Simulator(PilatusOptions(**options)).start())
        return running[-1]

    yield simulate
    for simulator in running:
        simulator.stop()
