"""`stins catalogue`: a catalogue behind a port, and documents that it did not get."""

import argparse
import logging
from pathlib import Path
from typing import Any

import msgspec

from stins import StinsError
from stins.daemon import load_config

from ..catalog import Resent, connect_catalog, open_catalog, resend_runs
from ..catalog.config import CatalogueConfig
from ..catalog.tiled import with_tiled

__all__ = ["main"]

_EPILOG = """\
examples:
  stins catalogue serve --config catalogue.yaml
  stins catalogue resend unsent-documents --to stins-catalogue              a folder: the embedded catalogue
  TILED_API_KEY=... stins catalogue resend unsent-documents --to http://127.0.0.1:8000

exit status of resend: 0 the catalogue has them all, 1 it does not, 2 wrong usage, or no catalogue there"""


def main(argv: list[str]) -> int:
    """Serves a catalogue until it is told to stop, or sends what was kept; returns the exit status."""
    options = _parser().parse_args(argv)
    return int(options.run(options))


def _serve(options: argparse.Namespace) -> int:
    logging.basicConfig(level=options.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    config = load_config(options.config, CatalogueConfig)
    with_tiled("serving").serve(config, end_with_stdin=options.end_with_stdin)
    return 0


def _resend(options: argparse.Namespace) -> int:
    if not options.folder.is_dir():
        raise StinsError(f"{options.folder}: no such folder; expected the one that record_runs was given")
    failed = False
    for resent in resend_runs(_open(options.to), options.folder, for_any=options.any):
        print(msgspec.json.encode(resent, enc_hook=str).decode() if options.json else _line(resent), flush=True)
        failed |= bool(resent.problem)
    return int(failed)


def _open(where: str) -> Any:
    if "://" in where:
        return connect_catalog(where)
    if not (Path(where) / "catalog.db").exists():
        raise StinsError(f"--to {where}: no catalogue is there; expected the folder of one, or a server's address")
    return open_catalog(where)


def _line(resent: Resent) -> str:
    if resent.problem:
        return f"{resent.uid}: could not be written: {resent.problem}; {resent.file} is kept"
    return f"{resent.uid}: {'written' if resent.written else 'was there already'}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stins catalogue",
        description="A catalogue of runs for several sessions and programs, and what a catalogue did not get.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="serve|resend")
    _add_serve(commands.add_parser("serve", help="a catalogue behind a port (Tiled), until Ctrl-C or SIGTERM"))
    _add_resend(commands.add_parser("resend", help="sends the documents that were kept when a catalogue failed"))
    return parser


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="YAML: name, folder, readable, http")
    parser.add_argument(
        "--end-with-stdin", action="store_true", help="end when stdin is closed, as when a parent process dies"
    )
    parser.add_argument(
        "--log-level", default="WARNING", choices=["DEBUG", "INFO", "WARNING", "ERROR"], help="default WARNING"
    )
    parser.set_defaults(run=_serve)


def _add_resend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where record_runs keeps documents")
    parser.add_argument(
        "--to", required=True, metavar="DIR|URI", help="the folder of an embedded catalogue, or a server's address"
    )
    parser.add_argument("--any", action="store_true", help="also runs that were recorded for another catalogue")
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each run")
    parser.set_defaults(run=_resend)
