"""`stins status`: a table of the processes of a beamline."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from stins import RemoteError, StinsError
from stins.control import AcquirerStatus, RecorderStatus
from stins.daemon.client import DaemonClient

from ..beamline import RunFile, load_beamline, running_beamlines

__all__ = ["main"]

_TIMEOUT_S = 2.0
_GOOD, _BAD = "green", "bold red"
_TROUBLE = ("offline", "fault")
_EPILOG = """\
examples:
  stins status                           every beamline that runs here
  stins status simulated                 one by its name
  stins status --json                    for a program: one JSON object

exit status: 0 all is well, 1 a process is offline or in FAULT, or a beamline is just being started, 2 wrong usage, or
no such beamline runs"""
#: Columns of output that goes to a file or another program.
_PIPED = 160


def main(argv: list[str]) -> int:
    """Prints the table; 1 if a process is offline or in FAULT, or a beamline is just being started."""
    options = _parser().parse_args(argv)
    names = _names(options.beamline)
    rows, simulators = ([each for name in names for each in of(name)] for of in (_rows, _simulators))
    starting = [name for name in names if RunFile(name).data() is None]
    if options.json:
        print(json.dumps({"processes": rows, "simulators": simulators, "starting": starting}))
    else:
        _print(rows, starting)
        _print_simulators(simulators)
    return 1 if starting or any(row["state"] in _TROUBLE for row in rows) else 0


def _names(given: str | None) -> list[str]:
    if given is None:
        names = running_beamlines()
        if not names:
            raise StinsError("no beamline runs here; start one with: stins up examples/simulated.yaml")
        return names
    path = Path(given)
    return [load_beamline(path).name if path.suffix in (".yaml", ".yml") else given]


def _rows(beamline: str) -> list[dict[str, Any]]:
    return [
        {"beamline": beamline, "detector": detector, "process": kind, "address": url, **_ask(detector, kind, url)}
        for detector, pair in RunFile(beamline).read().items()
        for kind, url in pair.items()
    ]


def _simulators(beamline: str) -> list[dict[str, str]]:
    places = RunFile(beamline).simulators().items()
    return [{"beamline": beamline, "detector": detector, **told} for detector, told in places]


def _ask(detector: str, kind: str, url: str) -> dict[str, Any]:
    status_type: Any = AcquirerStatus if kind == "acquirer" else RecorderStatus
    client = DaemonClient(f"{kind} of {detector}", url, status_type)
    try:
        status = client.status(_TIMEOUT_S)
    except RemoteError as error:
        return {"state": "offline", "reason": error.problem, "frames": "", "file": ""}
    finally:
        client.close()
    tree: Mapping[str, Any] = msgspec.to_builtins(status)
    frames = _sent(status) if isinstance(status, AcquirerStatus) else _written(status)
    file, joined = ((tree.get(key) or {}).get("file") or "" for key in ("series", "joined"))
    return {
        **{key: tree.get(key) or "" for key in ("state", "reason", "busy", "drop_reason", "live")},
        "frames": frames,
        "file": file,
        "joined": joined,
        "restarts": str(tree.get("restarts", "")),
        "notes": tree.get("notes", ()),
        "status": tree,
    }


def _sent(status: AcquirerStatus) -> str:
    if status.series_id is None:
        return ""
    expected = "" if status.frames_expected is None else f" of {status.frames_expected}"
    dropped = f", {status.frames_dropped} dropped" if status.frames_dropped else ""
    dropped += f" ({status.frames_not_given} not given by the detector)" if status.frames_not_given else ""
    unacked = f", {status.unacked} messages not acked" if status.unacked else ""
    # What its recorder loses when it dies is lost then.
    replay = "" if status.replay else ", replay off"
    return f"{status.frames_sent}{expected} sent{dropped}{unacked}{replay}"


def _written(status: RecorderStatus) -> str:
    series = status.series
    if series is None:
        return ""
    missing = f", {series.missing} missing" if series.missing else ""
    expected = series.received if series.frames_expected is None else series.frames_expected
    return f"{series.written} of {expected} written{missing} ({series.state.value})"


def _print(rows: list[dict[str, Any]], starting: list[str]) -> None:
    for name in starting:
        print(f"{name}: is just being started; its processes are shown once all of them have")
    if rows or not starting:
        _print_table(rows)


def _print_table(rows: list[dict[str, Any]]) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=_PIPED)
    table = Table()
    for column in ("beamline", "detector", "process", "state", "frames", "restarts", "address"):
        table.add_column(column, overflow="fold", no_wrap=column == "address")
    for row in rows:
        style = _BAD if row["state"] in _TROUBLE else _GOOD
        state = f"[{style}]{row['state'].upper()}[/]"
        cells = (row["beamline"], row["detector"], row["process"], state, row["frames"])
        table.add_row(*cells, row.get("restarts", ""), row["address"])
    console.print(table)
    for row in rows:
        whose = f"{row['beamline']} {row['detector']} {row['process']}"
        said = [(key, row.get(key)) for key in ("file", "joined", "live", "busy", "drop_reason", "reason")]
        for key, text in (*said, *(("note", note) for note in row.get("notes", ()))):
            if text:
                print(f"{whose}: {key}: {text}")


def _print_simulators(simulators: list[dict[str, str]]) -> None:
    for each in simulators:
        whose = f"{each['beamline']} {each['detector']} simulator"
        print(f"{whose}: ask it with: stins check '{each['simulator']}'\n{whose}: hook: {each['hook']}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stins status",
        description="Shows the processes of the beamlines that `stins up` runs: state, frames, how often a recorder's "
        "writer was started again, file, notes, what is wrong.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("beamline", nargs="?", metavar="NAME|CONFIG", help="a beamline or its file (default: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    return parser
