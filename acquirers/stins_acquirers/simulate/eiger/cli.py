"""`stins simulate eiger`: the simulator as a process."""

import argparse
import logging
import os
from pathlib import Path
from typing import Any

import msgspec

from stins import StinsError
from stins.daemon import Ready, announce, check_config, load_config, on_signal, on_stdin_closed

from .models import model_names
from .options import EigerOptions
from .simulator import Simulator

__all__ = ["main"]

_OWN = ("config", "fault", "end_with_stdin", "log_level")


def main(argv: list[str]) -> int:
    """Runs one simulator until it is told to stop."""
    given = _parser().parse_args(argv)
    logging.basicConfig(level=given.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    simulator = Simulator(_options(given))
    on_signal(simulator.stop)
    if given.end_with_stdin:
        on_stdin_closed(simulator.stop)
    simulator.start()
    announce(
        Ready(process="eiger", kind="simulator", control=simulator.url, pid=os.getpid(), streams=simulator.streams)
    )
    simulator.run()
    return 0


def _options(given: argparse.Namespace) -> EigerOptions:
    """Those of the file, and over them those of the command line."""
    chosen: dict[str, Any] = {}
    if given.config is not None:
        chosen = load_config(given.config, EigerOptions).model_dump(exclude_unset=True)
    chosen |= {name: value for name, value in vars(given).items() if name not in _OWN and value is not None}
    if given.fault:
        chosen["faults"] = [*chosen.get("faults", ()), *(_fault(text) for text in given.fault)]
    return check_config(chosen, EigerOptions, "stins simulate eiger")


def _fault(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise StinsError(f"--fault {text}: expected a JSON object: {error}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stins simulate eiger",
        description="A DECTRIS detector that isn't there: SIMPLON over HTTP, and both of its streams. Prints one line "
        "of JSON with its addresses once it is ready; `streams` are v1 and v2. Ends on Ctrl-C or SIGTERM.",
        epilog=f"models: {', '.join(model_names())}; "
        'example: stins simulate eiger --model eiger2-4m --fault \'{"kind": "drop_images", "image": 7}\'',
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file with the same options, _ for -")
    for name, field in EigerOptions.model_fields.items():
        if name != "faults":
            extra: Any = field.json_schema_extra or {}
            unit = f" [{extra['unit']}]" if "unit" in extra else ""
            text = f"{field.description}{unit} (default {field.default!r})".replace("%", "%%")
            kind: Any = _shape if name == "shape" else None
            parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=name.upper(), help=text)
    parser.add_argument("--fault", action="append", metavar="JSON", help="what goes wrong; may be given several times")
    parser.add_argument("--end-with-stdin", action="store_true", help="end when stdin is closed, as when a parent dies")
    levels = ["DEBUG", "INFO", "WARNING", "ERROR"]
    parser.add_argument("--log-level", default="INFO", choices=levels, help="default INFO")
    return parser


def _shape(text: str) -> list[str]:
    return text.split("x")
