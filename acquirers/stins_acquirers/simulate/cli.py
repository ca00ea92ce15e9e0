"""`stins simulate`: a detector that isn't there, behind the interface that the real one has."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Final, NamedTuple

__all__ = ["main"]


class _Simulator(NamedTuple):
    module: str
    summary: str


#: Each is imported only when it is started: one vendor's needs are no other's.
_SIMULATORS: Final = {
    "eiger": _Simulator("stins_acquirers.simulate.eiger.cli", "EIGER, EIGER2, PILATUS4: SIMPLON over HTTP, streams"),
    "pilatus": _Simulator("stins_acquirers.simulate.camserver.cli", "PILATUS, PILATUS3: camserver over TCP, a folder"),
}


def main(argv: list[str]) -> int:
    """Runs one simulator until it is told to stop."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0 if argv else 2
    name, rest = argv[0], argv[1:]
    if name not in _SIMULATORS:
        print(f"stins simulate: no simulator {name!r}; there are: {', '.join(_SIMULATORS)}", file=sys.stderr)
        return 2
    run: Callable[[list[str]], int] = import_module(_SIMULATORS[name].module).main
    return run(rest)


def _usage() -> str:
    return "\n".join(
        [
            "usage: stins simulate NAME [--help] ...",
            "",
            "A detector that isn't there, behind the interface that the real one has.",
            "",
            "simulators:",
            *(f"  {name:<10} {simulator.summary}" for name, simulator in _SIMULATORS.items()),
            "",
            "Start with: stins simulate eiger",
        ]
    )
