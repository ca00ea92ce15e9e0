"""`stins up CONFIG`: the processes of a beamline, started, watched and ended together."""

import argparse
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from stins.daemon import on_signal

from ..beamline import Beamline, RunFile, load_beamline
from ..controller import Controller, Snapshot

__all__ = ["main"]

_LOOK_S = 0.5
_TRIES = 5


def main(argv: list[str]) -> int:
    """Runs a beamline until Ctrl-C or SIGTERM; 1 if a process could not be kept alive."""
    options = _parser().parse_args(argv)
    config = load_beamline(options.config)
    stop = threading.Event()
    on_signal(stop.set)
    run_file = RunFile(config.name)
    folder = options.logs or run_file.logs
    _say(f"starting {len(config.detectors)} detector(s); messages of the processes: {folder}")
    with Beamline(config, folder) as beamline:
        run_file.write(beamline)
        for name, pair in beamline.detectors.items():
            _say(f"{name}: acquirer {pair.acquirer.ready.control}, recorder {pair.recorder.ready.control}")
        controllers = [_watch(name, pair.controller()) for name, pair in beamline.detectors.items()]
        _say(f"up; see `stins status {config.name}`; data below {config.data}; Ctrl-C ends everything")
        try:
            alive = _supervise(beamline, stop)
        finally:
            run_file.remove()
            for controller in controllers:
                controller.close()
    _say("all processes have ended")
    return 0 if alive else 1


def _watch(name: str, controller: Controller) -> Controller:
    controller.connect()
    controller.subscribe(_changes(name))
    return controller


def _changes(name: str) -> Callable[[Snapshot], None]:
    """Says each change of the combined state, once."""
    last: list[str] = [""]

    def changed(snapshot: Snapshot) -> None:
        line = f"{snapshot.state.value.upper()} {snapshot.reason}".strip()
        if line != last[0]:
            last[0] = line
            _say(f"{name}: {line}")

    return changed


def _supervise(beamline: Beamline, stop: threading.Event) -> bool:
    """Starts again what ends by itself; gives up when one detector has needed that too often."""
    tries: dict[str, int] = {}
    while not stop.wait(_LOOK_S):
        for name, pair in beamline.detectors.items():
            for why in pair.revive():
                tries[name] = tries.get(name, 0) + 1
                _say(f"{name}: {why}\n  started again ({tries[name]} of {_TRIES})")
            if tries.get(name, 0) >= _TRIES:
                _say(f"{name}: its processes end again and again; giving up. Look at the messages above")
                return False
    return True


def _say(text: str) -> None:
    print(f"{datetime.now():%H:%M:%S} {text}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stins up",
        description="Starts the acquirer and the recorder of each detector of a beamline file, prints a line at each "
        "change of state, starts again what dies, and ends everything on Ctrl-C.",
        epilog="example: stins up examples/simulated.yaml   (another terminal: stins status)",
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="beamline file (YAML); see examples/simulated.yaml")
    parser.add_argument(
        "--logs", type=Path, metavar="DIR", help="folder for messages (default: below ~/.local/state/stins)"
    )
    return parser
