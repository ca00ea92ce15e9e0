"""`stins recorder`: one recorder as a process (and its writer)."""

import argparse
import logging
import os
from pathlib import Path

from stins.control import JoinRequest, PrepareRequest
from stins.daemon import ConfigError, Ready, announce, load_config, on_signal, on_stdin_closed
from stins.daemon.server import Command, ControlServer

from .config import RecorderConfig
from .supervisor import Supervisor

__all__ = ["main"]


def main(argv: list[str]) -> int:
    """Runs one recorder until it is told to stop."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=options.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    _run(load_config(options.config, RecorderConfig), end_with_stdin=options.end_with_stdin)
    return 0


def _run(config: RecorderConfig, *, end_with_stdin: bool) -> None:
    for root in config.roots:
        _make(root)
    supervisor = Supervisor(config)
    on_signal(supervisor.stop)
    if end_with_stdin:
        on_stdin_closed(supervisor.stop)
    server = ControlServer(config.name, config.http, supervisor.board, _commands(supervisor))
    try:
        supervisor.start()
        server.start()
        status = supervisor.board.status
        announce(Ready(process=config.name, kind="recorder", control=server.url, pid=status.pid, live=status.live))
        supervisor.run()
    finally:
        supervisor.shut_down()
        server.stop()


def _make(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"roots: {root} cannot be made: {error.strerror}; name a folder that can be written"
        ) from error
    if not os.access(root, os.W_OK):
        raise ConfigError(f"roots: {root} cannot be written; name a folder that can")


def _commands(supervisor: Supervisor) -> list[Command]:
    return [
        Command(
            path="/prepare",
            summary="Check path and room for a series to come",
            request=PrepareRequest,
            run=supervisor.prepare,
        ),
        Command(
            path="/join",
            summary="Join the parts of a series that several recorders shared",
            request=JoinRequest,
            run=supervisor.join,
        ),
        Command(path="/stop", summary="End the open series as incomplete", run=supervisor.stop_series),
        Command(path="/reset", summary="Leave FAULT", run=supervisor.reset),
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stins recorder",
        description="Records a STINS stream as NeXus/HDF5 files. Prints one line of JSON with its addresses once it is "
        "ready; ends on Ctrl-C or SIGTERM, closing its file.",
        epilog="example: stins recorder --config recorder/recorder.yaml",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="YAML file; see recorder/README.md")
    parser.add_argument(
        "--end-with-stdin", action="store_true", help="end when stdin is closed, as when a parent process dies"
    )
    parser.add_argument(
        "--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"], help="default INFO"
    )
    return parser
