"""`stins salvage FILE...`: makes files of a dead recorder whole."""

import argparse
from pathlib import Path

import msgspec

from stins.series import missing_words

from .process import LIMIT_S, Salvaged, run_salvage

__all__ = ["main"]

_DESCRIPTION = """\
Makes the file of a recorder that died readable by everybody, cuts it to the frames that were flushed, and writes the
account of the series and its end. No frame that was acked is touched. A file that is whole, or that is being written,
stays as it is.

Start the recorder first: it goes on with the file, and gets the frames that wait in the acquirer. Salvage is for a
recorder that will not come back: it ends the series, and the frames that are not in the file by then are lost."""
_EPILOG = """\
examples:
  stins salvage scan_0001.h5
  stins salvage --json data/*.h5       for a program: one JSON object a file

exit status: 0 every file is whole now, 1 one is not (it says why), 2 wrong usage"""


def main(argv: list[str]) -> int:
    """Salvages each file; returns the exit status."""
    options = _parser().parse_args(argv)
    good = True
    for path in options.files:
        found = run_salvage(path, reason="the recorder died", limit_s=options.limit)
        print(msgspec.json.encode(found).decode() if options.json else _line(found), flush=True)
        good &= found.found in ("whole", "salvaged")
    return 0 if good else 1


def _line(found: Salvaged) -> str:
    missing = f", {missing_words(found.missing)}" if found.missing else ""
    return f"{found.path}: {found.found}{missing}: {found.text}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stins salvage",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a file of a recorder")
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each file")
    parser.add_argument(
        "--limit", type=float, default=LIMIT_S, metavar="S", help=f"seconds that a file may take (default {LIMIT_S:g})"
    )
    return parser
