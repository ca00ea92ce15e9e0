"""One recorder: its supervisor, its HTTP server, and their end."""

from stins.control import JoinRequest, PrepareRequest, StopRequest
from stins.daemon import Ready, announce, on_signal, on_stdin_closed
from stins.daemon.server import Command, ControlServer

from ..config import RecorderConfig
from .supervisor import Supervisor
from .writer_process import WriterProcess

__all__ = ["serve"]


def serve(config: RecorderConfig, first: WriterProcess, *, end_with_stdin: bool) -> None:
    """Runs a recorder until it is told to stop; `first` becomes its writer."""
    supervisor = Supervisor(config, first)
    try:
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
    finally:
        supervisor.shut_down()


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
        Command(
            path="/show",
            summary="Show the parts of a shared series as one file while they are written",
            request=JoinRequest,
            run=supervisor.show,
        ),
        Command(
            path="/hide",
            summary="Take away what /show has made",
            request=JoinRequest,
            run=supervisor.hide,
        ),
        Command(
            path="/stop", summary="End the open series as incomplete", request=StopRequest, run=supervisor.stop_series
        ),
        Command(path="/reset", summary="Leave FAULT", run=supervisor.reset),
    ]
