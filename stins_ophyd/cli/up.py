"""`stins up CONFIG`: the processes of a beamline, started, watched and ended together."""

import argparse
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from stins.daemon import on_signal

from ..beamline import Beamline, DetectorProcesses, RunFile, load_beamline, supervise
from ..controller import CombinedState, Controller, Snapshot

__all__ = ["main"]

_EPILOG = """\
example:
  stins up examples/simulated.yaml       (in another terminal: stins status)
  stins up examples/eiger.yaml           an EIGER that isn't there, with all that a real one has around it

exit status: 0 ended by Ctrl-C or SIGTERM, 1 a process could not be kept alive, 2 wrong usage or configuration"""

_IN_A_SERIES = (CombinedState.ARMED, CombinedState.ACQUIRING, CombinedState.FINISHING)


def main(argv: list[str]) -> int:
    """Runs a beamline until Ctrl-C or SIGTERM; 1 if a process could not be kept alive."""
    options = _parser().parse_args(argv)
    config = load_beamline(options.config)
    stop = threading.Event()
    on_signal(stop.set)
    run_file = RunFile(config.name)
    run_file.claim()
    folder = options.logs or run_file.logs
    _say(f"starting {len(config.detectors)} detector(s); messages of the processes: {folder}")
    try:
        with Beamline(config, folder) as beamline, ExitStack() as watched:
            beamline.tell(run_file)
            for name, pair in beamline.detectors.items():
                _say(f"{name}: {_places(pair)}")
                watched.enter_context(_watched(name, pair.controller()))
            _say(f"up; see `stins status {config.name}`; data below {config.data}; Ctrl-C ends everything")
            lost = supervise(beamline.detectors, _say, stop)
    finally:
        run_file.remove()
    _say("all processes have ended")
    return 1 if lost else 0


@contextmanager
def _watched(name: str, controller: Controller) -> Iterator[None]:
    with controller:
        controller.subscribe(_changes(name))
        yield
        if (left := _unacked(controller.snapshot)) > 0:
            _say(f"{name}: {left} messages are not acked by a recorder; what is not within some seconds now is lost")


def _unacked(snapshot: Snapshot) -> int:
    return snapshot.acquirer.unacked if snapshot.acquirer else 0


def _changes(name: str) -> Callable[[Snapshot], None]:
    """Says each change of the combined state; within a series each state once, for a scan changes twice a point."""
    said: list[str] = []

    def changed(snapshot: Snapshot) -> None:
        line = f"{snapshot.state.value.upper()} {snapshot.reason}".strip()
        within = snapshot.state in _IN_A_SERIES
        if line in (said if within else said[-1:]):
            return
        if not within:
            said.clear()
        said.append(line)
        _say(f"{name}: {line}")

    return changed


def _places(detector: DetectorProcesses) -> str:
    simulator = detector.simulator.places if detector.simulator is not None else {}
    return ", ".join(f"{key} {address}" for key, address in {**simulator, **detector.addresses}.items())


def _say(text: str) -> None:
    print(f"{datetime.now():%H:%M:%S} {text}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stins up",
        description="Starts the acquirer and the recorders of each detector of a beamline file, prints a line at each\n"
        "change of state, starts again what dies, and ends everything on Ctrl-C.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="beamline file (YAML); see examples/simulated.yaml")
    parser.add_argument(
        "--logs", type=Path, metavar="DIR", help="folder for messages (default: below ~/.local/state/stins)"
    )
    return parser
