"""`stins check`: is this file, or this stream, as it should be?"""

import argparse
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from stins import StinsError
from stins.findings import Checker, Report, Severity

from .file import check_file
from .listen import check_stream
from .reader import Step
from .report import as_json, print_report, print_rules

__all__ = ["main"]

_DESCRIPTION = """\
Says whether a recorded file, a live stream, or the connection to a detector is as it should be; if not, which
rule it breaks, where, what was got and what was expected. A file is only read, never changed; it may be one that
is being written. A damaged file cannot hang the checker. A detector is only asked, never told."""
_EPILOG = """\
examples:
  stins check scan_0001.h5                        one file; a second or two, however large its frames are
  stins check --decode scan_0001.h5               ... and decode every frame: takes as long as reading the file
  stins check --json scan_0001.h5                 for a program: one JSON object
  stins check tcp://127.0.0.1:43053 --seconds 60  the recorder's live stream ("live" in `stins status`), until
                                                  one series has ended, at most for 60 s
  stins check http://DCU                          the detector behind it; what it says of itself, and what is wrong
  stins check --rules                             what is checked

exit status: 0 no errors (there may be warnings), 1 errors, 2 wrong usage"""


def main(argv: list[str]) -> int:
    """Checks one target; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.rules:
        print_rules(rule for name in _connections() for rule in _checker(name).rules)
        return 0
    if options.target is None:
        parser.error("got no target, expected a FILE or an ENDPOINT such as tcp://127.0.0.1:43053")
    try:
        report = _check(options, parser)
    except StinsError as error:
        parser.error(str(error))
    if options.json:
        print(as_json(report))
    else:
        print_report(report)
    return 1 if report.findings.count(Severity.ERROR) else 0


def _check(options: argparse.Namespace, parser: argparse.ArgumentParser) -> Report:
    scheme, mark, _ = options.target.partition("://")
    if mark:
        return _checker(scheme).check(options.target) if scheme in _connections() else _check_stream(options)
    path = Path(options.target)
    if not path.is_file():
        what = "something that is no file" if path.exists() else "no such file"
        parser.error(f"{options.target}: got {what}, expected a recorded file, or an endpoint such as tcp://HOST:PORT")
    return _check_file(path, options)


def _connections() -> dict[str, EntryPoint]:
    """What can be checked beside files and streams, by the scheme of its address."""
    return {point.name: point for point in entry_points(group="stins.checks")}


def _checker(scheme: str) -> Checker:
    checker: Checker = _connections()[scheme].load()
    return checker


def _check_file(path: Path, options: argparse.Namespace) -> Report:
    with _bar("reading", "") as bar:
        return check_file(path, decode=options.decode, timeout_s=options.timeout, watch=_shown_steps(bar))


def _shown_steps(bar: "tqdm[NoReturn]") -> Callable[[Step], None]:
    shown = ""

    def show(step: Step) -> None:
        nonlocal shown
        if step.what != shown:
            shown = step.what
            bar.reset()
            bar.set_description_str(step.what, refresh=False)
        bar.total, bar.n = step.total, step.done
        bar.refresh()

    return show


def _check_stream(options: argparse.Namespace) -> Report:
    with _bar(options.target, " messages") as bar:
        return check_stream(
            options.target, pull=options.pull, seconds=options.seconds, watch=lambda count: _advance(bar, count)
        )


def _advance(bar: "tqdm[NoReturn]", count: int) -> None:
    bar.update(count - bar.n)


def _bar(description: str, unit: str) -> "tqdm[NoReturn]":
    """A progress bar on stderr where that is a terminal, and nothing elsewhere (disable=None)."""
    return tqdm(file=sys.stderr, disable=None, leave=False, desc=description, unit=unit)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stins check",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    target = "a recorded file, tcp://HOST:PORT, or a detector"
    parser.add_argument("target", nargs="?", metavar="FILE|ENDPOINT", help=target)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--rules", action="store_true", help="list all rules with what they ask for, and end")
    file = parser.add_argument_group("a file")
    file.add_argument("--decode", action="store_true", help="decode every stored frame too")
    file.add_argument(
        "--timeout",
        type=_positive,
        default=30.0,
        metavar="SECONDS",
        help="give up when reading shows no sign of life for so long (default 30); a torn file can hang HDF5",
    )
    stream = parser.add_argument_group("a stream")
    stream.add_argument("--seconds", type=_positive, default=10.0, help="how long to listen at most (default 10)")
    stream.add_argument(
        "--pull",
        action="store_true",
        help="connect to an acquirer's own socket (PUSH) instead of a live stream (PUB). CAREFUL: each message that "
        "comes here is TAKEN AWAY FROM THE RECORDER; only where nothing is to be recorded",
    )
    return parser


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number of seconds above 0")
    return number
