"""`stins simulate pilatus`: the simulator as a process."""

import argparse
import logging
import os
import tempfile
import threading
from pathlib import Path
from typing import get_args

import msgspec

from stins.daemon import on_signal, on_stdin_closed

from ..arguments import add_options, read_options
from .faults import FaultKind
from .models import MODELS
from .options import PilatusOptions
from .simulator import Simulator

__all__ = ["main"]

_NAME = "stins simulate pilatus"


def main(argv: list[str]) -> int:
    """Runs one simulator until it is told to stop."""
    given = _parser().parse_args(argv)
    logging.basicConfig(level=given.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with tempfile.TemporaryDirectory(prefix="pilatus-") as folder:
        _run(read_options(given, PilatusOptions, _NAME, folder=Path(folder)), end_with_stdin=given.end_with_stdin)
    return 0


def _run(options: PilatusOptions, *, end_with_stdin: bool) -> None:
    stopped = threading.Event()
    on_signal(stopped.set)
    if end_with_stdin:
        on_stdin_closed(stopped.set)
    with Simulator(options) as simulator:
        line = {
            "process": "pilatus",
            "kind": "simulator",
            "control": f"tcp://{simulator.address}",
            "hook": f"tcp://{simulator.hook}",
            "folder": str(options.folder.resolve()),
            "pid": os.getpid(),
        }
        print(msgspec.json.encode(line).decode(), flush=True)
        stopped.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_NAME,
        description="A PILATUS that isn't there: camserver over TCP, and a folder in which its images appear (without "
        "--folder a temporary one). Prints one line of JSON with its addresses once it is ready; ends on Ctrl-C or "
        "SIGTERM.",
        epilog=f"models: {', '.join(MODELS)}; kinds of faults: {', '.join(get_args(FaultKind))}; "
        "pulses and faults while it runs: lines to the port that it says as `hook`, `help` lists them; "
        'example: stins simulate pilatus --model pilatus3-1m --fault \'{"kind": "lose_image", "image": 7}\'',
    )
    add_options(parser, PilatusOptions, {"folder": "a temporary one"})
    return parser
