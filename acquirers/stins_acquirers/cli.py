"""`stins acquirer`: one detector as a process."""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from stins import StinsError
from stins.control import ArmRequest, PulseRequest, TriggerRequest
from stins.daemon import Ready, announce, load_config, on_signal, on_stdin_closed
from stins.daemon.descriptions import descriptions
from stins.daemon.server import Command, ControlServer, Document
from stins.transport import Publisher
from stins.transport.memory import keep_memory

from .backend import Backend, HasReference, TakesPulses
from .config import AcquirerConfig, StreamConfig
from .registry import backend_class, check_settings, installed, make_backend
from .service import Service
from .streams import Streams
from .surroundings import Surroundings

__all__ = ["main"]


def main(argv: list[str]) -> int:
    """Runs one acquirer until it is told to stop."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=options.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if options.describe:
        _describe(options.describe)
        return 0
    if options.config is None:
        print("stins acquirer: give --config FILE (or --describe BACKEND)", file=sys.stderr)
        return 2
    config, where = load_config(options.config, AcquirerConfig), f"{options.config}: settings"
    if options.check:
        check_settings(config.backend, config.settings, where)
        return 0
    keep_memory()
    backend = make_backend(config.backend, config.settings, where)
    _run(config, backend, end_with_stdin=options.end_with_stdin)
    return 0


def _run(config: AcquirerConfig, backend: Backend, *, end_with_stdin: bool) -> None:
    streams = _open_streams(config.stream)
    service = Service(
        config.name,
        config.backend,
        backend,
        streams,
        peer_timeout_s=config.stream.peer_timeout_s,
        when_full=config.stream.when_full,
        surroundings=Surroundings.configured(config.beamline, config.geometry),
    )
    server = ControlServer(config.name, config.http, service.board, _commands(service, backend), _documents(backend))
    on_signal(service.stop)
    if end_with_stdin:
        on_stdin_closed(service.stop)
    server.start()
    status = service.board.status
    announce(
        Ready(
            process=config.name,
            kind="acquirer",
            control=server.url,
            pid=status.pid,
            streams=streams.endpoints,
            acks=streams.acks,
        )
    )
    try:
        service.run()
    finally:
        server.stop()
        streams.close()


def _open_streams(config: StreamConfig) -> Streams:
    publishers: list[Publisher] = []
    try:
        for endpoint, acks in zip(config.endpoints, config.ack_endpoints, strict=True):
            publisher = Publisher(
                endpoint,
                acks=acks,
                ring_bytes=config.ring_bytes // config.recorders,
                budget_bytes=config.budget_bytes // config.recorders,
                max_message_bytes=config.max_message_bytes,
            )
            publishers.append(publisher)
    except StinsError:
        Streams(publishers).close()
        raise
    return Streams(publishers)


def _commands(service: Service, backend: Backend) -> list[Command]:
    pulse = Command(path="/pulse", summary="Pulses on the trigger input", request=PulseRequest, run=service.pulse)
    return [
        Command(path="/arm", summary="Arm one series", request=ArmRequest, run=service.arm),
        Command(path="/trigger", summary="Take frames", request=TriggerRequest, run=service.trigger),
        Command(path="/disarm", summary="End the series in good order", run=service.disarm),
        Command(path="/abort", summary="End the series now", run=service.abort),
        Command(path="/reset", summary="Leave FAULT", run=service.reset),
        Command(path="/configure", summary="Change settings", request=dict[str, Any], run=service.configure),
        *([pulse] if isinstance(backend, TakesPulses) else []),
    ]


def _documents(backend: Backend) -> list[Document]:
    if not isinstance(backend, HasReference):
        return []
    reference = backend

    def read(which: str) -> tuple[str, bytes]:
        if not which.isdigit():
            raise StinsError(f"/reference: got {which!r}, expected a frame number")
        return "application/octet-stream", reference.reference(int(which))

    return [Document(path="/reference", summary="What a frame's pixels are, as .npy", read=read)]


def _describe(name: str) -> None:
    chosen: Any = backend_class(name)
    settings: type[BaseModel] = chosen.Settings
    print(f"settings of the backend {name!r}:")
    texts = descriptions(settings)
    for key, field in settings.model_fields.items():
        extra = field.json_schema_extra
        unit = f" [{extra['unit']}]" if isinstance(extra, dict) and "unit" in extra else ""
        default = "required" if field.is_required() else f"default {field.get_default(call_default_factory=True)!r}"
        print(f"  {key}{unit}: {texts.get(key, '')} ({default})")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stins acquirer",
        description="Connects to one detector and sends its frames as a STINS stream. Prints one line of JSON with "
        "its addresses once it is ready; ends on Ctrl-C or SIGTERM.",
        epilog="example: stins acquirer --config acquirers/simulated.yaml",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file; see acquirers/README.md")
    parser.add_argument(
        "--describe", metavar="BACKEND", help=f"list a backend's settings; installed: {', '.join(installed())}"
    )
    parser.add_argument("--check", action="store_true", help="only say what is wrong with FILE, and end")
    parser.add_argument(
        "--end-with-stdin", action="store_true", help="end when stdin is closed, as when a parent process dies"
    )
    parser.add_argument(
        "--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"], help="default INFO"
    )
    return parser
