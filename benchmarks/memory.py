"""Memory of a recorder that cannot keep up, and what two hundred series leave behind.

A long series against a disk of which every write is held up; then many short series, after each of which the writer's
resident memory, descriptors and threads are counted: their slope is the leak.

    uv run python benchmarks/memory.py [--json] [--frames 100000] [--series 200]
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
from cases import CASES
from harness import BUDGET_BYTES, Closing, Recorder, Remote, forget_peak, peak_mb, recorder, sender
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.faults.shim import FaultPage, Kind, Mode, build_shim

_WARM_UP = 20


def main() -> int:
    """Measures and prints a table, and JSON as the last line; 1 if frames were lost, or memory or descriptors were."""
    options = _arguments()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="stins-memory-") as folder:
        root = Path(folder)
        report = {"budget_mb": BUDGET_BYTES >> 20} | _throttled(root, options.frames, options.write_ms)
        report |= _leaks(root, options.series)
    print("\n".join(f"{key:>24}  {value}" for key, value in report.items()))
    print(json.dumps(report))
    grown = report["peak_rss_mb"] > report["budget_mb"] + 200 or report["descriptors_per_series"] > 0
    return int(report["frames_lost"] > 0 or grown)


def _throttled(root: Path, frames: int, write_ms: int) -> dict[str, Any]:
    """One long series of 32 KiB frames; every `pwrite` to the file takes `write_ms` longer."""
    faults = FaultPage(root / "faults")
    with (
        sender(("recorder",)) as (sending, links),
        recorder(root, *links["recorder"], environment=faults.environment(build_shim(root))) as recording,
    ):
        faults.arm(Mode.HANG, root, kinds=Kind.WRITE, named=".h5", for_ever=True, hang_s=write_ms / 1000)
        forget_peak(recording.writer_pid)
        seconds, series = _series(sending, recording, frames, "slow.h5")
        return {
            "frames": frames,
            "throttled_frames_per_s": round(frames / seconds, 1),
            "frames_lost": frames - series.written,
            "peak_rss_mb": round(peak_mb(recording.writer_pid), 1),
        }


def _series(sending: Remote, recording: Recorder, frames: int, name: str) -> tuple[float, Any]:
    closing = Closing(recording.client, name, frames)
    sending.tell("recorder", "32KiB", frames, name, None)
    closing.wait("open")
    sending.tell("go")
    began = float(sending.hear())
    sending.hear()
    seconds = closing.wait("closed") - began
    closing.close()
    (recording.root / name).unlink()
    return seconds, closing.series


def _leaks(root: Path, count: int) -> dict[str, Any]:
    rows: list[tuple[float, int, int]] = []
    with sender(("recorder",)) as (sending, links), recorder(root, *links["recorder"]) as recording:
        writer = psutil.Process(recording.writer_pid)
        for number in tqdm(range(count), unit="series"):
            _series(sending, recording, 100, f"series-{number}.h5")
            rows.append((writer.memory_info().rss / 1024, writer.num_fds(), writer.num_threads()))
    slopes = [_slope([float(row[column]) for row in rows[_WARM_UP:]]) for column in range(3)]
    names = ("rss_kib_per_series", "descriptors_per_series", "threads_per_series")
    return {"series": count} | {name: round(slope, 3) for name, slope in zip(names, slopes, strict=True)}


def _slope(values: list[float]) -> float:
    return statistics.linear_regression(range(len(values)), values).slope if len(values) > 1 else float("nan")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="only for symmetry: the last line is JSON in any case")
    parser.add_argument("--frames", type=int, default=100_000, help="frames of the slow series (default 100000)")
    parser.add_argument("--write-ms", type=int, default=1, help="how much longer a write takes, in ms (default 1)")
    parser.add_argument("--series", type=int, default=200, help="short series (default 200)")
    parser.add_argument("--folder", type=Path, default=Path(), help="where to record (default: here)")
    return parser.parse_args()


if __name__ == "__main__":
    assert "32KiB" in CASES
    sys.exit(main())
