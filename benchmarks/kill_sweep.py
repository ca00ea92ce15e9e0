"""Kills the recorder in mid-series, again and again, at random moments, and looks at every frame of every file.

A simulated detector sends 512 KiB frames at 600/s to a recorder that acks. Its writer is killed (SIGKILL) `--kills`
times, the whole recorder `--recorder-kills` times and started again as a person would. With `--lag` each write takes
4 ms longer, so that the recorder is always behind, and the detector is as fast as its frames are taken.

The files go to memory, unless `--root` names a disk that takes 300 MB/s all the time: a ring that is full drops frames,
and this is not about that.

    uv run python benchmarks/kill_sweep.py [--kills 50] [--recorder-kills 10] [--lag] [--json]
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chain import Chain, Verdict
from shim import Kind, Mode, build_shim
from tqdm import tqdm

RATE_HZ, LAG_S = 600.0, 0.004
#: A killed writer is back and recording in less.
BACK_S = 2.0
#: From one kill to the next; a writer is back after about a second, so some hit one that has just come.
SHORTEST_S, LONGEST_S = 0.2, 4.0
#: 3 to 4 GB of frames.
KILLS_A_SERIES = 3
RING_BYTES = 2 << 30
SETTINGS: dict[str, Any] = {"shape": [512, 512], "dtype": "uint16", "pool": 61, "exposure_s": 0.001}


@dataclass
class Sweep:
    """The kills so far and what became of the series."""

    kills: int = 0
    recorder_kills: int = 0
    back_s: list[float] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether a frame was lost or is wrong, a file is not complete, or a writer was not back in time."""
        slow = max(self.back_s, default=0.0) >= BACK_S
        return slow or any(v.lost or v.wrong or not v.complete or v.problem for v in self.verdicts)

    def summary(self) -> dict[str, Any]:
        """What is printed."""
        return {
            "kills": self.kills,
            "recorder_kills": self.recorder_kills,
            "series": len(self.verdicts),
            "frames_sent": sum(v.sent for v in self.verdicts),
            "frames_lost": sum(v.lost for v in self.verdicts),
            "frames_wrong": sum(v.wrong for v in self.verdicts),
            "files_incomplete": sum(not v.complete or v.problem != "" for v in self.verdicts),
            "back_s": round(statistics.median(self.back_s), 2) if self.back_s else None,
            "back_s_most": round(max(self.back_s), 2) if self.back_s else None,
        }


def main() -> int:
    """Runs series until all kills are done; 1 if a frame was lost, or a writer was not back within 2 s."""
    options = _arguments()
    chance = random.Random(options.seed)  # noqa: S311  # it decides when to kill
    sweep = Sweep()
    with tempfile.TemporaryDirectory(dir=options.root, prefix="stins-sweep-") as name:
        folder = Path(name)
        chain = Chain(
            folder,
            folder / "data",
            {**SETTINGS, "period_s": 0.0 if options.lag else 1 / RATE_HZ},
            ring_bytes=RING_BYTES,
            recorder={"frames_per_file": options.frames_per_file},
            shim=build_shim(folder) if options.lag else None,
        )
        try:
            if chain.page:
                data = folder / "data"
                chain.page.arm(Mode.HANG, data, kinds=Kind.WRITE, for_ever=True, hang_s=LAG_S, named=".h5")
            killer = Killer(chain, sweep, chance, lag=options.lag)
            killer.writers(options.kills)
            killer.recorders(options.recorder_kills)
        finally:
            chain.close()
    summary = {"lag": options.lag, "seed": options.seed, **sweep.summary()}
    print("\n".join(f"{key:>18} {value}" for key, value in summary.items()))
    if options.json:
        print(json.dumps(summary))
    return int(sweep.failed)


class Killer:
    """Runs series and kills in them."""

    def __init__(self, chain: Chain, sweep: Sweep, chance: random.Random, *, lag: bool) -> None:
        self._chain, self._sweep, self._chance, self._lag = chain, sweep, chance, lag
        self._series = 0

    def writers(self, kills: int) -> None:
        """Kills so many writers."""
        self._sweep_until(lambda: kills - self._sweep.kills, self._kill_writer)

    def recorders(self, kills: int) -> None:
        """Kills so many whole recorders, and starts them again."""
        self._sweep_until(lambda: kills - self._sweep.recorder_kills, self._kill_recorder)

    def _sweep_until(self, left: Callable[[], int], kill: Callable[[], None]) -> None:
        with tqdm(total=left(), unit="kill", file=sys.stderr) as progress:
            while (kills := min(left(), KILLS_A_SERIES)) > 0:
                self._run(kills, kill)
                progress.update(progress.total - left() - progress.n)

    def _run(self, kills: int, kill: Callable[[], None]) -> None:
        name, chain = f"s{self._series}", self._chain
        self._series += 1
        pauses = [self._chance.uniform(SHORTEST_S, LONGEST_S) for _ in range(kills)]
        rate = 1 / (2 * LAG_S) if self._lag else RATE_HZ
        frames = int(rate * (sum(pauses) + kills * (0.5 if self._lag else 2.0)))
        chain.begin(name, frames)
        for pause in pauses:
            time.sleep(pause)
            if chain.is_open(name) or chain.sending():
                kill()
        account = chain.end(name)
        verdict = chain.check(account, frames)
        if verdict.lost or verdict.wrong or not verdict.complete:
            print(f"{name}: {verdict}\n{account}", file=sys.stderr)
        self._sweep.verdicts.append(verdict)
        for file in Path(account.file).parent.glob(f"{name}*.h5") if account.file else ():
            file.unlink()

    def _kill_writer(self) -> None:
        if (dead := self._chain.kill_writer()) is not None:
            killed = time.monotonic()
            self._sweep.kills += 1
            self._chain.back(dead)
            self._sweep.back_s.append(time.monotonic() - killed)

    def _kill_recorder(self) -> None:
        self._chain.kill_recorder()
        self._sweep.recorder_kills += 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="of the writer")
    parser.add_argument("--recorder-kills", type=int, default=10, help="of the whole recorder, started again by hand")
    parser.add_argument("--lag", action="store_true", help="each write takes 4 ms longer")
    parser.add_argument("--frames-per-file", type=int, help="segments of so many frames")
    parser.add_argument("--root", type=Path, default=Path("/dev/shm"), help="where the files go")  # noqa: S108
    parser.add_argument("--seed", type=int, default=time.time_ns() % (1 << 31))
    parser.add_argument("--json", action="store_true", help="the last line is JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
