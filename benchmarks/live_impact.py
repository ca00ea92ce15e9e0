"""What consumers cost the recording: the rate beside each, and lost frames.

Series without a consumer take turns with series beside one that was stopped (SIGSTOP) after it had subscribed, one
that reads ten messages a second, one that was killed, and beside the recorder's own process that computes numbers of
each frame. A ratio is the median of the rounds' ratios; `numbers_s_behind` is how long after the end of a series its
last numbers were there.

    uv run python benchmarks/live_impact.py [--json] [--rounds 5] [--case 512KiB]
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import zmq
from cases import CASES, Case
from harness import DEADLINE_S, Closing, Recorder, Remote, recorder, remote, sender
from tqdm import tqdm

from stins.control import NumbersRequest, PrepareRequest, Region

_SLOW_HZ = 10.0
_CONSUMERS = ("alone", "stalled", "slow", "gone", "numbers")
_NUMBERS = NumbersRequest(
    keys=("sum", "mean", "max", "saturated"), regions=(Region(name="spot", row=8, column=8, rows=64, columns=64),)
)


def main() -> int:
    """Measures and prints a table, and JSON as the last line."""
    options = _arguments()
    case = CASES[options.case]
    frames = case.frames(options.megabytes << 20)
    rounds: list[dict[str, float]] = []
    behind: list[float] = []
    lost = 0
    with (
        tempfile.TemporaryDirectory(dir=options.folder, prefix="stins-live-") as root,
        sender(("recorder",)) as (sending, links),
        recorder(Path(root), *links["recorder"]) as recording,
    ):
        # With numbers: the process that computes them is started once, and its libraries are not what is measured.
        _ask_for_numbers(recording, "warm-up.h5")
        _series(sending, recording, case, frames, "warm-up.h5")
        _wait_for_numbers(recording, frames)
        _remove(recording, "warm-up")
        for number in tqdm(range(options.rounds), unit="round"):
            rates = {}
            for consumer in _CONSUMERS:
                name = f"{consumer}-{number}.h5"
                if consumer == "numbers":
                    _ask_for_numbers(recording, name)
                with _consumer(consumer, recording):
                    rates[consumer], missing = _series(sending, recording, case, frames, name)
                if consumer == "numbers":
                    behind.append(_wait_for_numbers(recording, frames))
                _remove(recording, f"{consumer}-{number}")
                lost += missing
            rounds.append(rates)
    report = {"case": case.name, "frames": frames, "frames_lost": lost}
    for consumer in _CONSUMERS:
        median = statistics.median(r[consumer] for r in rounds)
        report["rate_alone" if consumer == "alone" else f"rate_with_{consumer}"] = round(median, 1)
    report["ratio"] = _ratio(rounds, "stalled")
    report |= {f"ratio_{consumer}": _ratio(rounds, consumer) for consumer in ("slow", "gone")}
    report |= {"ratio_with_numbers": _ratio(rounds, "numbers"), "numbers_s_behind": round(statistics.median(behind), 2)}
    print("\n".join(f"{key:>20}  {value}" for key, value in report.items()))
    print(json.dumps(report))
    return 0


def _ratio(rounds: list[dict[str, float]], consumer: str) -> float:
    return round(statistics.median(r[consumer] / r["alone"] for r in rounds), 3)


def _series(sending: Remote, recording: Recorder, case: Case, frames: int, name: str) -> tuple[float, int]:
    """Records one series; frames/s, and how many are missing."""
    closing = Closing(recording.client, name, frames)
    sending.tell("recorder", case.name, frames, name, None)
    closing.wait("open")
    sending.tell("go")
    began = float(sending.hear())
    sending.hear()
    seconds = closing.wait("closed") - began
    closing.close()
    assert closing.series is not None
    return frames / seconds, frames - closing.series.written


def _remove(recording: Recorder, stem: str) -> None:
    for path in recording.root.glob(f"{stem}*.h5"):
        path.unlink()


def _ask_for_numbers(recording: Recorder, name: str) -> None:
    recording.client.post("/prepare", PrepareRequest(series_id=name, filename=name, numbers=_NUMBERS))


def _wait_for_numbers(recording: Recorder, frames: int) -> float:
    """Seconds until each frame has its numbers: they must be done before the next series is measured."""
    began = time.monotonic()
    while time.monotonic() - began < DEADLINE_S:
        series = recording.client.status().series
        if series is not None and series.numbers_state != "open":
            if (series.numbers_state, series.numbers_rows) != ("complete", frames):
                raise SystemExit(f"numbers: got {series.numbers_rows} of {frames}, {series.numbers_state}")
            return time.monotonic() - began
        time.sleep(0.05)
    raise SystemExit(f"numbers: not done within {DEADLINE_S:g} s")


@contextmanager
def _consumer(kind: str, recording: Recorder) -> Iterator[None]:
    if kind in ("alone", "numbers"):
        yield
        return
    with remote(f"{kind} consumer", _consume, recording.client.status().live, 1 / _SLOW_HZ) as process:
        process.hear()
        if kind == "stalled":
            os.kill(process.pid, signal.SIGSTOP)
        elif kind == "gone":
            os.kill(process.pid, signal.SIGKILL)
        try:
            yield
        finally:
            if kind == "stalled":
                os.kill(process.pid, signal.SIGCONT)


def _consume(pipe: Connection, live: str, pause_s: float) -> None:
    socket = zmq.Context.instance().socket(zmq.SUB)
    monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    # As a viewer should: what it can't show need not wait for it.
    socket.rcvhwm = 4
    socket.subscribe(b"")
    socket.connect(live)
    if not monitor.poll(10_000):
        raise SystemExit(f"no live stream at {live}")
    pipe.send("subscribed")
    while True:
        socket.recv_multipart(copy=False)
        time.sleep(pause_s)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="only for symmetry: the last line is JSON in any case")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--megabytes", type=int, default=768, help="a series, in MiB (default 768)")
    parser.add_argument("--case", default="512KiB", choices=list(CASES), help="kind of frame (default 512KiB)")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="where to record")  # noqa: S108
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
