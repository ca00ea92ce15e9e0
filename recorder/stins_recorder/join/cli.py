"""`stins join FILE...`: joins the parts of series that several recorders shared."""

import argparse
from pathlib import Path

import msgspec

from stins.control import SeriesState

from .process import LIMIT_S, run_join_by_hand

__all__ = ["main"]

_DESCRIPTION = """\
Joins the files of several recorders that shared a series (scan_part0.h5, scan_part1.h5, ...) in one (scan.h5), which
shows the frames of all of them in order. The controller has this done at the end of each series; this is for a part
that came back later, or was salvaged. A part that is not there, or not closed, is left out: its frames are missing.
A file that was joined from the same series before is replaced, no other."""
_EPILOG = """\
examples:
  stins salvage data/scan_part1.h5 && stins join data/scan.h5
  stins join --json data/*_part0.h5       for a program: one JSON object a file

exit status: 0 every series is complete, 1 one is not, 2 wrong usage or a series that cannot be joined"""


def main(argv: list[str]) -> int:
    """Joins each; returns the exit status."""
    options = _parser().parse_args(argv)
    complete = True
    for path in options.files:
        account = run_join_by_hand(path, options.limit)
        if options.json:
            print(msgspec.json.encode(account).decode(), flush=True)
        else:
            reason = f": {account.reason}" if account.reason else ""
            print(f"{account.file}: {account.rows} rows, {account.missing} missing, {account.state.value}{reason}")
        complete &= account.state is SeriesState.COMPLETE
    return 0 if complete else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stins join",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="the joined file, or one of its parts")
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each file")
    parser.add_argument(
        "--limit",
        type=float,
        default=LIMIT_S,
        metavar="S",
        help=f"seconds that a series may take (default {LIMIT_S:g})",
    )
    return parser
