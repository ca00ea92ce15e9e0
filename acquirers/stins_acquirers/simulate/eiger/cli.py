"""`stins simulate eiger`: the simulator as a process."""

import argparse
import logging
import os
from typing import get_args

from stins.daemon import Ready, announce, on_signal, on_stdin_closed

from ..arguments import add_options, read_options
from .faults import FaultKind
from .models import model_names
from .options import EigerOptions
from .simulator import Simulator

__all__ = ["main"]

_NAME = "stins simulate eiger"


def main(argv: list[str]) -> int:
    """Runs one simulator until it is told to stop."""
    given = _parser().parse_args(argv)
    logging.basicConfig(level=given.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    simulator = Simulator(read_options(given, EigerOptions, _NAME))
    on_signal(simulator.stop)
    if given.end_with_stdin:
        on_stdin_closed(simulator.stop)
    simulator.start()
    announce(
        Ready(process="eiger", kind="simulator", control=simulator.url, pid=os.getpid(), streams=simulator.streams)
    )
    simulator.run()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_NAME,
        description="A DECTRIS detector that isn't there: SIMPLON over HTTP, and both of its streams. Prints one line "
        "of JSON with its addresses once it is ready; `streams` are v1 and v2. Ends on Ctrl-C or SIGTERM.",
        epilog=f"models: {', '.join(model_names())}; kinds of faults: {', '.join(get_args(FaultKind))}; "
        "pulses and faults while it runs: POST to /simulator of its HTTP address; "
        'example: stins simulate eiger --model eiger2-4m --fault \'{"kind": "drop_images", "image": 7}\'',
    )
    add_options(parser, EigerOptions)
    return parser
