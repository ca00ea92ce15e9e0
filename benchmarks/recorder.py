"""How fast the recorder records, beside the limits of this machine measured in the same run.

Everything is switched on: checks, SWMR, flushes, journal, acks; the rate is that up to the ack of the last frame, when
others can read it and it is safe from the recorder's death. The limit is a minimal receiver that does one `pwrite`
for each message and nothing else; for frames of 1 MiB and more on a disk there is a second one, past the page cache
and up to fsync, for the rate at which data is on disk. Recorder and limits take turns, series by series, from one
sender process over loopback; a ratio is the median of the rounds' ratios.

    uv run python benchmarks/recorder.py [--json] [--rounds 5] [--megabytes 768]
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from cases import CASES, Case
from harness import (
    BUDGET_BYTES,
    MAX_MESSAGE_BYTES,
    Closing,
    Recorder,
    Remote,
    forget_peak,
    peak_mb,
    recorder,
    remote,
    sender,
)
from limit import write_series
from tqdm import tqdm

_SHM = Path("/dev/shm")  # noqa: S108
_DURABLE_FROM_BYTES = 1 << 20


def main() -> int:
    """Measures all cases and prints a table, and JSON as the last line."""
    options = _arguments()
    cases = [CASES[name] for name in options.cases]
    results = []
    progress = tqdm(total=len(cases) * len(options.targets) * options.rounds, unit="round", file=sys.stderr)
    for target in options.targets:
        folder = {"disk": options.disk, "shm": _SHM}[target]
        with tempfile.TemporaryDirectory(dir=folder, prefix="stins-bench-") as root, _bench(Path(root)) as bench:
            for case in cases:
                frames = case.frames(options.megabytes << 20)
                durable = target == "disk" and case.frame_bytes >= _DURABLE_FROM_BYTES
                rounds = []
                for _ in range(options.rounds):
                    rounds.append(bench.round(case, frames, durable=durable))
                    progress.update()
                results.append(_summary(case, target, frames, rounds))
    progress.close()
    print(_table(results))
    print(json.dumps({"cases": results}))
    return 0


class Bench:
    """A sender, a recorder and a minimal receiver on the same machine."""

    def __init__(self, root: Path, sending: Remote, limit: Remote, recording: Recorder) -> None:
        self._root, self._sending, self._limit, self._recording = root, sending, limit, recording
        self._count = 0

    def round(self, case: Case, frames: int, *, durable: bool) -> dict[str, float]:
        """One series into each: rates in frames/s, and what the recorder took for it."""
        self._count += 1
        figures = {"limit": frames / self._run_limit(case, frames, direct=False)}
        if durable:
            figures["limit_durable"] = frames / self._run_limit(case, frames, direct=True)
        return figures | self._run_recorder(case, frames, durable=durable)

    def _run_limit(self, case: Case, frames: int, *, direct: bool) -> float:
        self._limit.tell(str(self._root / "limit.raw"), frames, direct)
        self._sending.tell("limit", case.name, frames, "limit", None)
        self._limit.hear()
        self._sending.tell("go")
        began = float(self._sending.hear())
        ended = float(self._limit.hear())
        self._sending.hear()
        self._limit.hear()
        return ended - began

    def _run_recorder(self, case: Case, frames: int, *, durable: bool) -> dict[str, float]:
        name = f"run-{self._count}.h5"
        writer = psutil.Process(self._recording.writer_pid)
        forget_peak(writer.pid)
        before = writer.cpu_times()
        closing = Closing(self._recording.client, name, frames)
        self._sending.tell("recorder", case.name, frames, name, None, "settled")
        closing.wait("open")
        self._sending.tell("go")
        began = float(self._sending.hear())
        figures = {"recorder": frames / (float(self._sending.hear()) - began)}
        closing.wait("closed")
        if durable:
            figures["durable"] = frames / (closing.wait("durable") - began)
        closing.close()
        if closing.series is None or closing.series.written != frames:
            raise SystemExit(f"the recorder lost frames: {closing.series}")
        after = writer.cpu_times()
        (self._root / name).unlink()
        cpu = after.user + after.system - before.user - before.system
        return {**figures, "cpu_s": cpu, "peak_mb": peak_mb(writer.pid)}


@contextmanager
def _bench(root: Path) -> Iterator[Bench]:
    with sender() as (sending, links):
        queue = BUDGET_BYTES // MAX_MESSAGE_BYTES
        with (
            remote("minimal receiver", write_series, links["limit"][0], queue) as limit,
            recorder(root, *links["recorder"]) as recording,
        ):
            yield Bench(root, sending, limit, recording)


def _summary(case: Case, target: str, frames: int, rounds: list[dict[str, float]]) -> dict[str, Any]:
    def median(key: str) -> float:
        return statistics.median(r[key] for r in rounds)

    def ratio(of: str, to: str) -> float:
        return round(statistics.median(r[of] / r[to] for r in rounds), 3)

    megabytes = case.frame_bytes / 1e6
    summary = {
        "case": case.name,
        "target": target,
        "frame_bytes": case.frame_bytes,
        "pixel_bytes": case.pixel_bytes,
        "compression": case.compression,
        "frames": frames,
        "frames_per_s": round(median("recorder"), 1),
        "limit_frames_per_s": round(median("limit"), 1),
        "ratio": ratio("recorder", "limit"),
        "target_ratio": case.target_ratio,
        "mb_per_s": round(median("recorder") * megabytes, 1),
        "cpu_s": round(median("cpu_s"), 3),
        "peak_rss_mb": round(max(r["peak_mb"] for r in rounds), 1),
    }
    if "durable" in rounds[0]:
        summary["durable_mb_per_s"] = round(median("durable") * megabytes, 1)
        summary["limit_durable_mb_per_s"] = round(median("limit_durable") * megabytes, 1)
        summary["durable_ratio"] = ratio("durable", "limit_durable")
    return summary


def _table(results: list[dict[str, Any]]) -> str:
    keys = ["case", "target", "frames_per_s", "limit_frames_per_s", "ratio", "target_ratio", "mb_per_s"]
    keys += ["durable_mb_per_s", "limit_durable_mb_per_s", "durable_ratio", "cpu_s", "peak_rss_mb"]
    rows = [keys, *([str(result.get(key, "")) for key in keys] for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(keys))]
    return "\n".join("  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="only for symmetry: the last line is JSON in any case")
    parser.add_argument("--rounds", type=int, default=5, help="rounds a case (default 5)")
    parser.add_argument("--megabytes", type=int, default=768, help="a series, in MiB as it travels (default 768)")
    parser.add_argument("--disk", type=Path, default=Path(), help="folder for the target `disk` (default: here)")
    parser.add_argument("--targets", nargs="+", default=["disk", "shm"], choices=["disk", "shm"])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES), metavar="CASE")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
