"""`stins recorder`: one recorder as a process (and its writer)."""

import argparse
import logging
import os
from pathlib import Path

from stins.daemon import ConfigError, load_config

from .config import RecorderConfig
from .supervisor.writer_process import WriterProcess

__all__ = ["main"]


def main(argv: list[str]) -> int:
    """Runs one recorder until it is told to stop."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=options.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    config = load_config(options.config, RecorderConfig)
    for root in config.roots:
        (_look_at if options.check else _make)(root)
    if options.check:
        return 0
    first = WriterProcess()
    # Here, not above: loading it takes a second, in which the first writer loads its own libraries.
    from .supervisor.service import serve

    serve(config, first, end_with_stdin=options.end_with_stdin)
    return 0


def _look_at(root: Path) -> None:
    """As `_make`, as far as that can be told without making anything."""
    there = next(folder for folder in (root, *root.parents) if os.path.lexists(folder))
    if not os.access(there, os.W_OK | os.X_OK) or not there.is_dir():
        where = "" if there == root else f" below {there}"
        raise ConfigError(f"roots: {root} cannot be made or written{where}; name a folder that can")


def _make(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"roots: {root} cannot be made: {error.strerror}; name a folder that can be written"
        ) from error
    if not os.access(root, os.W_OK):
        raise ConfigError(f"roots: {root} cannot be written; name a folder that can")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stins recorder",
        description="Records a STINS stream as NeXus/HDF5 files. Prints one line of JSON with its addresses once it is "
        "ready; ends on Ctrl-C or SIGTERM, closing its file.",
        epilog="example: stins recorder --config recorder/recorder.yaml",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="YAML file; see recorder/README.md")
    parser.add_argument("--check", action="store_true", help="only say what is wrong with FILE, and end")
    parser.add_argument(
        "--end-with-stdin", action="store_true", help="end when stdin is closed, as when a parent process dies"
    )
    parser.add_argument(
        "--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"], help="default INFO"
    )
    return parser
