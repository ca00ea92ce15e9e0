"""How fast the recorder records, beside the limit of this machine measured in the same run.

The limit is a minimal receiver: it receives each message uncopied and does one `pwrite`, nothing else. Recorder and
limit take turns, series by series, from one sender process over loopback; a ratio compares medians.

    uv run python benchmarks/recorder.py [--json] [--rounds 3] [--megabytes 1000]
"""

import argparse
import json
import multiprocessing as mp
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import psutil
import zmq
from tqdm import tqdm

from stins import Part, SeriesHeader, SeriesInfo, SeriesSender, encode
from stins.control import RecorderStatus, SeriesState
from stins.daemon import read_ready
from stins.daemon.client import DaemonClient
from stins.transport import Publisher

SHAPES = {32 << 10: (128, 128), 512 << 10: (512, 512), 8 << 20: (2048, 2048)}
BUDGET_BYTES = 256 << 20
MAX_MESSAGE_BYTES = 16 << 20
DEADLINE_S = 120.0


def main() -> int:
    """Measures all cases and prints a table, and JSON as the last line."""
    options = _arguments()
    cases = [
        (target, compression, size)
        for target in options.targets
        for size in options.sizes
        for compression in options.compressions
    ]
    results = []
    progress = tqdm(total=len(cases) * options.rounds, unit="round", file=sys.stderr)
    for target in options.targets:
        folder = {"disk": options.disk, "shm": Path("/dev/shm")}[target]  # noqa: S108
        with tempfile.TemporaryDirectory(dir=folder, prefix="stins-bench-") as root, _bench(Path(root)) as bench:
            for case in [case for case in cases if case[0] == target]:
                _, compression, size = case
                frames = _frames(options.megabytes << 20, size, compression)
                rounds = []
                for _ in range(options.rounds):
                    rounds.append(bench.round(size, compression, frames))
                    progress.update()
                results.append(_summary(size, compression, target, frames, rounds))
    progress.close()
    print(_table(results))
    print(json.dumps({"cases": results}))
    return 0


def _frames(budget: int, size: int, compression: str) -> int:
    """As many frames as fill the budget with payload, so that a series of small chunks is not over at once."""
    payload = len(_payloads(SHAPES[size], compression)[0])
    return max(50, min(30_000, budget // payload))


class Bench:
    """A sender, a recorder and a minimal receiver on the same machine."""

    def __init__(self, root: Path, sender: Connection, limit: Connection, client: DaemonClient[RecorderStatus]) -> None:
        self._root, self._sender, self._limit, self._client = root, sender, limit, client
        self._count = 0

    def round(self, size: int, compression: str, frames: int) -> dict[str, float]:
        """One series into the minimal receiver, one into the recorder."""
        self._count += 1
        limit = self._run_limit(size, compression, frames)
        seconds, cpu, peak = self._run_recorder(size, compression, frames)
        return {"limit": frames / limit, "recorder": frames / seconds, "cpu_s": cpu, "peak_mb": peak}

    def _run_limit(self, size: int, compression: str, frames: int) -> float:
        path = self._root / f"limit-{self._count}.raw"
        self._limit.send((str(path), frames))
        self._sender.send(("limit", size, compression, frames, "x"))
        started = _receive(self._sender, "sender")
        ended = _receive(self._limit, "minimal receiver")
        path.unlink()
        return float(ended) - float(started)

    def _run_recorder(self, size: int, compression: str, frames: int) -> tuple[float, float, float]:
        name = f"run-{self._count}.h5"
        writer = psutil.Process(self._client.status().writer_pid)
        Path(f"/proc/{writer.pid}/clear_refs").write_text("5")  # starts the peak of memory anew
        before = writer.cpu_times()
        watcher = _Watcher(self._client, name)
        self._sender.send(("recorder", size, compression, frames, name))
        started = float(_receive(self._sender, "sender"))
        ended, status = watcher.wait()
        after = writer.cpu_times()
        if status.series is None or status.series.written != frames:
            raise SystemExit(f"the recorder lost frames: {status.series}")
        peak = _peak_mb(writer.pid)
        (self._root / name).unlink()
        cpu = after.user + after.system - before.user - before.system
        return ended - started, cpu, peak


class _Watcher:
    """Waits for the pushed status that says that a file is complete."""

    def __init__(self, client: DaemonClient[RecorderStatus], name: str) -> None:

        self._name = name
        self._done = threading.Event()
        self._ended = 0.0
        self._status: RecorderStatus | None = None
        self._watch = client.watch(self._changed, print)

    def _changed(self, status: RecorderStatus) -> None:
        series = status.series
        ours = series is not None and series.file and series.file.endswith(self._name)
        if series is not None and ours and series.state is not SeriesState.OPEN and not self._done.is_set():
            self._ended, self._status = time.monotonic(), status
            self._done.set()

    def wait(self) -> tuple[float, RecorderStatus]:
        if not self._done.wait(DEADLINE_S) or self._status is None:
            raise SystemExit(f"the recorder did not finish {self._name} within {DEADLINE_S:g} s")
        self._watch.close()
        return self._ended, self._status


@contextmanager
def _bench(root: Path) -> Iterator[Bench]:
    context = mp.get_context("spawn")
    ours, theirs = context.Pipe()
    sender = context.Process(target=_sender, args=(theirs,), daemon=True)
    sender.start()
    endpoints = _receive(ours, "sender")
    limit_ours, limit_theirs = context.Pipe()
    limit = context.Process(target=_limit, args=(limit_theirs, endpoints["limit"]), daemon=True)
    limit.start()
    config = root / "recorder.yaml"
    config.write_text(
        json.dumps(
            {
                "roots": [str(root)],
                "sources": [endpoints["recorder"]],
                "budget_bytes": BUDGET_BYTES,
                "max_message_bytes": MAX_MESSAGE_BYTES,
            }
        )
    )
    command = [sys.executable, "-m", "stins.cli", "recorder", "--config", str(config), "--log-level", "WARNING"]
    recorder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert recorder.stdout is not None
        ready = read_ready(recorder.stdout.readline())
        if ready is None:
            raise SystemExit("the recorder did not start")
        yield Bench(root, ours, limit_ours, DaemonClient("recorder", ready.control, RecorderStatus))
    finally:
        recorder.terminate()
        recorder.wait(20)
        for process in (sender, limit):
            process.terminate()
            process.join()


def _sender(pipe: Connection) -> None:
    """Its own process: sends series on request, as fast as they are taken."""
    links = {
        name: Publisher("tcp://127.0.0.1:0", budget_bytes=BUDGET_BYTES, max_message_bytes=MAX_MESSAGE_BYTES)
        for name in ("limit", "recorder")
    }
    machines = {name: SeriesSender() for name in links}
    pipe.send({name: link.endpoint for name, link in links.items()})
    while True:
        target, size, compression, frames, filename = pipe.recv()
        link, machine = links[target], machines[target]
        part = (Part(name="image", shape=SHAPES[size], dtype="uint16", compression=compression),)
        payloads = _payloads(SHAPES[size], compression)
        announced = (Part(name="image", shape=SHAPES[size], dtype="uint16", compression=compression),)
        info = SeriesInfo(id=filename, filename=filename, frames_expected=frames)
        _put(link, [encode(machine.start(SeriesHeader(series=info, data=announced)))])
        time.sleep(0.2)  # the file is open before the first frame, as the controller would see to
        pipe.send(time.monotonic())
        for number in range(frames):
            _put(link, [encode(machine.data(number, data=part)), payloads[number % len(payloads)]])
        _put(link, [encode(machine.end())])


def _put(link: Publisher, parts: list[bytes]) -> None:
    if not link.send(parts) and not link.send(parts, DEADLINE_S):
        raise SystemExit(f"no receiver took a message within {DEADLINE_S:g} s")


def _payloads(shape: tuple[int, int], compression: str) -> list[bytes]:
    generator = np.random.default_rng(1)
    images = [generator.poisson(2.0, shape).astype("<u2") for _ in range(4)]
    if compression == "none":
        return [image.tobytes() for image in images]
    with h5py.File.in_memory() as file:
        dataset = file.create_dataset(
            "x", (len(images), *shape), "<u2", chunks=(1, *shape), **hdf5plugin.Bitshuffle(cname="lz4")
        )
        for index, image in enumerate(images):
            dataset[index] = image
        return [dataset.id.read_direct_chunk((index, 0, 0))[1] for index in range(len(images))]


def _limit(pipe: Connection, endpoint: str) -> None:
    """Its own process: receive uncopied, pwrite, and nothing else."""
    socket = zmq.Context.instance().socket(zmq.PULL)
    socket.rcvhwm = BUDGET_BYTES // MAX_MESSAGE_BYTES
    socket.connect(endpoint)
    while True:
        path, frames = pipe.recv()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        socket.recv_multipart(copy=False)
        position = 0
        for _ in range(frames):
            payload = socket.recv_multipart(copy=False)[1].buffer
            position += os.pwrite(descriptor, payload, position)
        pipe.send(time.monotonic())
        socket.recv_multipart(copy=False)
        os.close(descriptor)


def _receive(pipe: Connection, who: str) -> Any:
    if not pipe.poll(DEADLINE_S):
        raise SystemExit(f"no answer from the {who} within {DEADLINE_S:g} s")
    return pipe.recv()


def _peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")


def _summary(size: int, compression: str, target: str, frames: int, rounds: list[dict[str, float]]) -> dict[str, Any]:
    def median(key: str) -> float:
        return statistics.median(r[key] for r in rounds)

    return {
        "frame_bytes": size,
        "compression": compression,
        "target": target,
        "frames": frames,
        "frames_per_s": round(median("recorder"), 1),
        "limit_frames_per_s": round(median("limit"), 1),
        "ratio": round(statistics.median(r["recorder"] / r["limit"] for r in rounds), 3),
        "mb_per_s": round(median("recorder") * size / 1e6, 1),
        "cpu_s": round(median("cpu_s"), 3),
        "peak_rss_mb": round(max(r["peak_mb"] for r in rounds), 1),
    }


def _table(results: list[dict[str, Any]]) -> str:
    keys = ["frame_bytes", "compression", "target", "frames_per_s", "limit_frames_per_s", "ratio"]
    keys += ["mb_per_s", "cpu_s", "peak_rss_mb"]
    rows = [keys, *([str(result[key]) for key in keys] for result in results)]
    return "\n".join("  ".join(f"{cell:>{len(key)}}" for key, cell in zip(keys, row, strict=True)) for row in rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="only for symmetry: the last line is JSON in any case")
    parser.add_argument("--rounds", type=int, default=3, help="rounds a case (default 3)")
    parser.add_argument("--megabytes", type=int, default=768, help="pixels a series, in MiB (default 768)")
    parser.add_argument("--disk", type=Path, default=Path(), help="folder for the target `disk` (default: here)")
    parser.add_argument("--targets", nargs="+", default=["disk", "shm"], choices=["disk", "shm"])
    parser.add_argument("--sizes", nargs="+", type=int, default=sorted(SHAPES), choices=sorted(SHAPES), metavar="BYTES")
    parser.add_argument("--compressions", nargs="+", default=["none", "bslz4"], choices=["none", "bslz4"])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
