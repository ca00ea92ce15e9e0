"""`stins simulate pilatus`: the simulator as a process."""

import argparse
import logging
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import msgspec

from stins import StinsError
from stins.daemon import check_config, load_config, on_signal, on_stdin_closed

from .models import MODELS
from .options import PilatusOptions
from .simulator import Simulator

__all__ = ["main"]

_OWN = ("config", "fault", "end_with_stdin", "log_level")


def main(argv: list[str]) -> int:
    """Runs one simulator until it is told to stop."""
    given = _parser().parse_args(argv)
    logging.basicConfig(level=given.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with tempfile.TemporaryDirectory(prefix="pilatus-") as folder:
        _run(_options(given, Path(folder)), end_with_stdin=given.end_with_stdin)
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


def _options(given: argparse.Namespace, folder: Path) -> PilatusOptions:
    """Those of the file, and over them those of the command line."""
    chosen: dict[str, Any] = {"folder": folder}
    if given.config is not None:
        chosen |= load_config(given.config, PilatusOptions).model_dump(exclude_unset=True)
    chosen |= {name: value for name, value in vars(given).items() if name not in _OWN and value is not None}
    if given.fault:
        chosen["faults"] = [*chosen.get("faults", ()), *(_fault(text) for text in given.fault)]
    return check_config(chosen, PilatusOptions, "stins simulate pilatus")


def _fault(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise StinsError(f"--fault {text}: expected a JSON object: {error}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stins simulate pilatus",
        description="A PILATUS that isn't there: camserver over TCP, and a folder in which its images appear (without "
        "--folder a temporary one). Prints one line of JSON with its addresses once it is ready; ends on Ctrl-C or "
        "SIGTERM.",
        epilog=f"models: {', '.join(MODELS)}; "
        'example: stins simulate pilatus --model pilatus3-1m --fault \'{"kind": "lose_image", "image": 7}\'',
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file with the same options, _ for -")
    for name, field in PilatusOptions.model_fields.items():
        if name != "faults":
            extra: Any = field.json_schema_extra or {}
            unit = f" [{extra['unit']}]" if "unit" in extra else ""
            default = "a temporary one" if field.is_required() else repr(field.default)
            text = f"{field.description}{unit} (default {default})".replace("%", "%%")
            kind: Any = _shape if name == "shape" else None
            parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=name.upper(), help=text)
    parser.add_argument("--fault", action="append", metavar="JSON", help="what goes wrong; may be given several times")
    parser.add_argument("--end-with-stdin", action="store_true", help="end when stdin is closed, as when a parent dies")
    levels = ["DEBUG", "INFO", "WARNING", "ERROR"]
    parser.add_argument("--log-level", default="INFO", choices=levels, help="default INFO")
    return parser


def _shape(text: str) -> list[str]:
    return text.split("x")
