"""Series of random sizes and rates with random faults and kills, for as long as you like; then the sums must be right.

After every series: received = written + discarded + retaken, expected = written + discarded + missing; every written
frame bit-identical to the detector's own reference, every other one listed as missing; and a series whose fault loses
nothing (kills of the recorder, disorder, a call that hangs) is complete.

    uv run python benchmarks/soak.py [--minutes 10] [--seed N] [--json]
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import psutil
from chain import Chain, wait_for
from faults import FAULTS, Fault
from shim import build_shim
from tqdm import tqdm

from stins.control import SeriesState, SeriesStatus

SHAPES = ((16, 16), (64, 64), (128, 128), (256, 256), (512, 512), (1024, 1024), (2048, 2048))
RATES_HZ = (0.0, 0.0, 20.0, 200.0, 1000.0, 5000.0)
SERIES_BYTES, SERIES_S, MOST_FRAMES = 256 << 20, 6.0, 20_000
RING_BYTES = 1 << 30
#: After so many series the recorder is ended and started with other segments.
SERIES_AN_ERA = 12
SEGMENTS = (None, None, 10, 100, 1000)


@dataclass
class Soak:
    """What happened so far; `violations` are the invariants that did not hold."""

    series: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    bytes: int = 0
    violations: list[str] = field(default_factory=list)
    fds: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """What is printed."""
        return {
            "series": sum(self.series.values()),
            **{state.value: self.series[state.value] for state in SeriesState if state is not SeriesState.OPEN},
            "frames": self.frames,
            "gigabytes": round(self.bytes / 1e9, 1),
            "faults": dict(sorted(self.faults.items())),
            "supervisor_fds": [self.fds[0], self.fds[-1]] if self.fds else [],
            "supervisor_threads": [self.threads[0], self.threads[-1]] if self.threads else [],
            "violations": len(self.violations),
        }


@dataclass(frozen=True)
class Plan:
    """One series to be."""

    name: str
    settings: dict[str, Any]
    frames: int
    fault: Fault

    @property
    def frame_bytes(self) -> int:
        """Of the pixels, not compressed."""
        return (
            prod(self.settings["shape"]) * self.settings["modules"] * (4 if self.settings["dtype"] == "uint32" else 2)
        )


def main() -> int:
    """Runs series for so many minutes; 1 if an invariant did not hold."""
    options = _arguments()
    chance = random.Random(options.seed)  # noqa: S311  # it decides what happens
    soak = Soak()
    with tempfile.TemporaryDirectory(dir=options.root, prefix="stins-soak-") as name:
        folder = Path(name)
        shim = build_shim(folder)
        deadline = time.monotonic() + 60 * options.minutes
        with tqdm(total=round(60 * options.minutes), unit="s", file=sys.stderr) as progress:
            while time.monotonic() < deadline:
                _era(folder, shim, chance, soak, deadline)
                progress.update(max(0, round(progress.total - (deadline - time.monotonic()) - progress.n)))
    summary = {"minutes": options.minutes, "seed": options.seed, **soak.summary()}
    print("\n".join(f"{key:>18} {value}" for key, value in summary.items()))
    print("\n".join(soak.violations))
    if options.json:
        print(json.dumps(summary))
    return int(bool(soak.violations))


def _era(folder: Path, shim: Path, chance: random.Random, soak: Soak, deadline: float) -> None:
    """Some series with one acquirer and one recorder; a violation ends it."""
    recorder = {"frames_per_file": chance.choice(SEGMENTS), "sender_gone_s": 1.0, "order": {"gap_timeout_s": 1.0}}
    chain = Chain(folder, folder / "data", {"pool": 1}, ring_bytes=RING_BYTES, recorder=recorder, shim=shim)
    violations = len(soak.violations)
    try:
        for _ in range(SERIES_AN_ERA):
            if time.monotonic() > deadline or len(soak.violations) > violations:
                break
            plan = _plan(f"s{sum(soak.series.values())}_{time.time_ns()}", chance)
            _series(chain, plan, chance, soak)
    finally:
        chain.close()
    if len(soak.violations) > violations:
        print(f"{soak.violations[-1]}\n{chain.log[-4000:]}", file=sys.stderr)


def _plan(name: str, chance: random.Random) -> Plan:
    shape, rate = chance.choice(SHAPES), chance.choice(RATES_HZ)
    settings = {
        "shape": list(shape),
        "dtype": chance.choice(("uint16", "uint32")),
        "compression": chance.choice(("none", "bslz4")),
        "modules": chance.choice((1, 1, 1, 4)),
        "numbers": chance.random() < 0.5,
        "series_arrays": chance.random() < 0.2,
        "exposure_s": 1e-4,
        "period_s": 1 / rate if rate else 0.0,
        "pool": 7,
        "faults": [],
    }
    plan = Plan(name, settings, 0, FAULTS[chance.choice(list(FAULTS))])
    most = min(MOST_FRAMES, SERIES_BYTES // plan.frame_bytes, int(rate * SERIES_S) or MOST_FRAMES)
    frames = chance.randint(1, max(1, most))
    settings["faults"] = plan.fault.in_stream(frames, chance)
    return Plan(name, settings, frames, plan.fault)


def _series(chain: Chain, plan: Plan, chance: random.Random, soak: Soak) -> None:
    soak.faults[plan.fault.name] += 1
    try:
        chain.configure(**plan.settings)
        chain.begin(plan.name, plan.frames)
        struck = plan.fault.strike(chain, plan.name, chance)
        account = chain.end(plan.name)
        dropped = chain.acquirer.status().frames_dropped
    except Exception as error:  # whatever it is, it must not happen
        soak.violations.append(f"{plan}: {type(error).__name__}: {error}")
        return
    finally:
        if chain.page:
            chain.page.disarm()
    soak.series[account.state.value] += 1
    soak.frames += account.written
    soak.bytes += account.written * plan.frame_bytes
    supervisor = psutil.Process(chain.recorder_pid)
    soak.fds.append(supervisor.num_fds())
    soak.threads.append(supervisor.num_threads())
    # What the ring has no room for is named, and missing.
    complete = not dropped and (plan.fault.lossless or (plan.fault.needs_strike and not struck))
    wrong = _wrong(chain, plan, account, complete=complete)
    soak.violations += [f"{plan}: {words}; {account}" for words in wrong]
    for file in chain.data.glob(f"{plan.name}*"):
        file.unlink()


def _wrong(chain: Chain, plan: Plan, account: SeriesStatus, *, complete: bool) -> list[str]:
    """Which invariants do not hold."""
    wrong = []
    if account.received != account.written + account.discarded + account.retaken:
        wrong.append("received is not written + discarded + retaken")
    if plan.frames != account.written + account.discarded + account.missing:
        wrong.append("expected is not written + discarded + missing")
    if complete and account.state is not SeriesState.COMPLETE:
        wrong.append(f"nothing was lost on the way, and the series is {account.state.value}")
    if account.file is None:
        return wrong
    if account.state is SeriesState.FAILED:
        try:
            wait_for(lambda: chain.ended(account), "the file of a failed series is salvaged", 60)
        except TimeoutError as error:
            return [*wrong, str(error)]
    try:
        verdict = chain.check(account, plan.frames)
    except OSError as error:
        return [*wrong, f"the file cannot be read: {error}"]
    if verdict.wrong:
        wrong.append(f"{verdict.wrong} frames are not what was sent")
    if plan.frames - verdict.lost < account.written:
        wrong.append(f"{plan.frames - verdict.lost} frames are in the file, {account.written} were written")
    if account.state is not SeriesState.FAILED and verdict.lost != account.missing:
        wrong.append(f"{verdict.lost} frames are not in the file, {account.missing} are listed as missing")
    return wrong


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--root", type=Path, help="where the files go (default: the temporary folder)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % (1 << 31))
    parser.add_argument("--json", action="store_true", help="the last line is JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
