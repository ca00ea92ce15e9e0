"""The command `stins`: finds each subcommand by entry point and loads only that one."""

import faulthandler
import sys
from importlib.metadata import EntryPoint, entry_points, version

from .errors import StinsError

__all__ = ["main"]

_SUMMARIES = {
    "demo": "the whole chain on this machine: simulated (or captured) detector, recorder, Bluesky run, catalogue",
    "up": "start and watch the processes of a beamline file",
    "status": "a table of the processes of a beamline: states, frames, files",
    "acquirer": "one acquirer: a detector (or simulation, or capture) becomes a STINS stream",
    "recorder": "one recorder: a STINS stream becomes NeXus files",
    "catalogue": "runs behind a port for several programs; sends again what a catalogue did not get",
    "simulate": "a vendor's detector that isn't there, behind its own interface",
    "salvage": "makes the file of a recorder that died whole",
    "join": "shows the files of recorders that shared a series as one",
    "check": "is this file, or this stream, as it should be? what is wrong, by rule",
}


def main(argv: list[str] | None = None) -> int:
    """Runs one subcommand; returns its exit status (2: wrong usage or configuration)."""
    faulthandler.enable()  # a crash inside HDF5 or a vendor's library leaves a trace in the messages
    arguments = sys.argv[1:] if argv is None else argv
    commands = {point.name: point for point in entry_points(group="stins.commands")}
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_usage(commands))
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        print(f"stins-ophyd {version('stins-ophyd')}")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in commands:
        print(f"stins: no command {name!r}; there are: {', '.join(_ordered(commands))}", file=sys.stderr)
        return 2
    try:
        return int(commands[name].load()(rest) or 0)
    except StinsError as error:
        print(f"stins {name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 1


def _ordered(commands: dict[str, EntryPoint]) -> list[str]:
    return [*(name for name in _SUMMARIES if name in commands), *sorted(commands.keys() - _SUMMARIES.keys())]


def _usage(commands: dict[str, EntryPoint]) -> str:
    lines = [f"  {name:<10} {_SUMMARIES.get(name, commands[name].value)}" for name in _ordered(commands)]
    return "\n".join(
        [
            "usage: stins COMMAND [--help] ...   (stins --version)",
            "",
            "Data acquisition for high-rate X-ray detectors: acquirer, recorder, controller.",
            "",
            "commands:",
            *lines,
            "",
            "Start with: stins demo",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
