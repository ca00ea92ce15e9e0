"""Kills the recorder before every call that changes a file, and looks for every acked frame in what is left.

A series of small frames is recorded again and again; each time the writer is killed at another of its system calls
(write, truncate, allocate, fsync, rename): uncompressed with known and unknown length, compressed, in one file and in
segments, large frames, and once more in the second life of a writer that went on after a kill. Each time the file is
read as it is, salvaged (with the journal and without), and gone on with until the series is complete.

Torn points are the power-cut model: half of a write reaches the file, and nothing after it.

    uv run python benchmarks/kill_points.py [--json] [--stride 1] [--series "known length" ...]
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

# The driver belongs to the tests.
sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "faults"))
from kill_driver import Job, Point
from killing import kill_all
from shim import build_shim
from short_series import SERIES

#: In the middle of the first life: at this call it is killed where the second one is looked at.
RESUMED_AT = 100


def main() -> int:
    """Kills at all points and prints what was found; 1 if an acked frame was lost."""
    options = _arguments()
    jobs = list(_jobs(options.series, options.stride, options.workers))
    points: list[Point] = []
    with tempfile.TemporaryDirectory(dir=options.root, prefix="stins-kill-") as name:
        folder = Path(name)
        done = kill_all(jobs, folder, build_shim(folder), options.workers)
        for _, found in tqdm(done, total=len(jobs), unit="job", file=sys.stderr):
            points += found
    _print_table(points)
    summary = summarize(points)
    if options.json:
        print(json.dumps(summary))
    failures = ("failures", "torn_failures_in_closed_segments", "torn_failures_known_length")
    return int(any(summary[key] for key in failures))


def _jobs(names: Iterable[str], stride: int, workers: int) -> Iterable[Job]:
    """Each series split among the workers."""
    for series in map(SERIES.__getitem__, names):
        for first in range(workers):
            split = {"first": 1 + first * stride, "stride": workers * stride}
            yield Job(series, **split)
            yield Job(series, torn=True, **split)
            if series.frames > RESUMED_AT:
                yield Job(series, resumed=RESUMED_AT, **split)


def summarize(points: Iterable[Point]) -> dict[str, Any]:
    """The numbers of the last line."""
    killed = [point for point in points if not point.torn]
    torn = [point for point in points if point.torn]
    known = {series.name for series in SERIES.values() if series.known_length and series.compression == "none"}
    return {
        "points": len(killed),
        "failures": sum(bool(point.salvaged or point.gone_on) for point in killed),
        "failures_without_journal": sum(bool(point.bare) for point in killed),
        "unreadable_as_they_are": sum(bool(point.as_it_is) for point in killed),
        "torn_points": len(torn),
        "torn_failures": sum(bool(point.salvaged) for point in torn),
        "torn_failures_in_closed_segments": sum(bool(point.segments) for point in torn),
        "torn_failures_known_length": sum(bool(point.salvaged) for point in torn if point.series in known),
    }


def _print_table(points: list[Point]) -> None:
    kinds = dict.fromkeys((point.series, point.torn, point.resumed) for point in points)
    for kind in kinds:
        name, torn, resumed = kind
        found = [point for point in points if (point.series, point.torn, point.resumed) == kind]
        print(f"{name}{', torn' if torn else ''}{', second life' if resumed else ''}: {len(found)} points")
        for look in ("as_it_is", "salvaged", "bare", "segments", "gone_on"):
            wrong = Counter(words for point in found if (words := getattr(point, look)))
            for words, count in wrong.most_common(3):
                calls = [point.call for point in found if getattr(point, look) == words]
                print(f"    {look}: {count} times, from call {calls[0]} on: {words[:160]}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", nargs="+", choices=list(SERIES), default=list(SERIES), metavar="NAME")
    parser.add_argument("--stride", type=int, default=1, help="every so many calls only")
    parser.add_argument("--workers", type=int, default=2, help="processes that kill")
    parser.add_argument("--root", type=Path, help="where the files go (default: the temporary folder)")
    parser.add_argument("--json", action="store_true", help="the last line is JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
