"""What the benchmarks have in common: a sender, a minimal receiver and a recorder, each a process of its own."""

import json
import multiprocessing as mp
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sender import send_series

from stins.control import RecorderStatus, SeriesState, SeriesStatus
from stins.daemon import read_ready
from stins.daemon.client import DaemonClient

__all__ = [
    "BUDGET_BYTES",
    "DEADLINE_S",
    "MAX_MESSAGE_BYTES",
    "Closing",
    "Recorder",
    "Remote",
    "forget_peak",
    "peak_mb",
    "recorder",
    "remote",
    "sender",
]

BUDGET_BYTES = 256 << 20
MAX_MESSAGE_BYTES = 32 << 20
DEADLINE_S = 120.0
_SPAWN = mp.get_context("spawn")


class Remote:
    """A process that is told what to do over a pipe."""

    def __init__(self, name: str, pipe: Connection, pid: int) -> None:
        self.name, self.pid, self._pipe = name, pid, pipe

    def tell(self, *what: Any) -> None:
        """Sends a command."""
        self._pipe.send(what)

    def hear(self) -> Any:
        """What it says next."""
        if not self._pipe.poll(DEADLINE_S):
            raise SystemExit(f"no answer from the {self.name} within {DEADLINE_S:g} s")
        return self._pipe.recv()


@contextmanager
def remote(name: str, run: Callable[..., None], *arguments: Any) -> Iterator[Remote]:
    """Runs `run(pipe, *arguments)` in a process of its own."""
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=run, args=(theirs, *arguments), daemon=True)
    process.start()
    try:
        yield Remote(name, ours, process.pid or 0)
    finally:
        process.terminate()
        process.join()


@contextmanager
def sender(links: tuple[str, ...] = ("limit", "recorder")) -> Iterator[tuple[Remote, dict[str, tuple[str, str]]]]:
    """A sender with a link of each name; and where each link's stream and acks are."""
    with remote("sender", send_series, links, BUDGET_BYTES, MAX_MESSAGE_BYTES) as process:
        yield process, process.hear()


class Recorder:
    """A running recorder."""

    def __init__(self, root: Path, client: DaemonClient[RecorderStatus], process: "subprocess.Popen[str]") -> None:
        self.root, self.client, self.process = root, client, process

    @property
    def writer_pid(self) -> int:
        """The writer's process."""
        pid = self.client.status().writer_pid
        if pid is None:
            raise SystemExit("the recorder has no writer")
        return pid


@contextmanager
def recorder(
    root: Path, source: str, acks: str, *, environment: Mapping[str, str] | None = None, **settings: Any
) -> Iterator[Recorder]:
    """A recorder that writes below `root`, everything that it does by default switched on."""
    config = root / "recorder.yaml"
    content = {"roots": [str(root)], "sources": [source], "acks": [acks], "budget_bytes": BUDGET_BYTES}
    config.write_text(json.dumps({**content, "max_message_bytes": MAX_MESSAGE_BYTES, **settings}))
    command = [sys.executable, "-m", "stins.cli", "recorder", "--config", str(config), "--log-level", "WARNING"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})})
    try:
        assert process.stdout is not None
        ready = read_ready(process.stdout.readline())
        if ready is None:
            raise SystemExit("the recorder did not start")
        client = DaemonClient("recorder", ready.control, RecorderStatus)
        yield Recorder(root, client, process)
        client.close()
    finally:
        process.terminate()
        process.wait(20)


class Closing:
    """Waits for the pushed account of a series: open, all of it forced to the disk, closed, and then durable."""

    def __init__(self, client: DaemonClient[RecorderStatus], series_id: str, frames: int) -> None:
        self._series_id, self._frames = series_id, frames
        self._done = {what: threading.Event() for what in ("open", "forced", "closed", "durable")}
        self.at: dict[str, float] = {}
        self.series: SeriesStatus | None = None
        self._watch = client.watch(self._changed, lambda why: print(why, file=sys.stderr))

    def _changed(self, status: RecorderStatus) -> None:
        series = status.series
        if series is None or series.series_id != self._series_id:
            return
        self.series = series
        self._reached("open")
        forced = series.durable >= self._frames
        if forced:
            self._reached("forced")
        if series.state is not SeriesState.OPEN:
            self._reached("closed")
            if forced:
                self._reached("durable")

    def _reached(self, what: str) -> None:
        if what not in self.at:
            self.at[what] = time.monotonic()
            self._done[what].set()

    def wait(self, what: str) -> float:
        """When that was reached, in seconds of the monotonic clock."""
        if not self._done[what].wait(DEADLINE_S):
            raise SystemExit(f"series {self._series_id} was not {what} within {DEADLINE_S:g} s: {self.series}")
        return self.at[what]

    def close(self) -> None:
        """Stops watching."""
        self._watch.close()


def peak_mb(pid: int) -> float:
    """The most memory that the process had resident since `forget_peak`, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")


def forget_peak(pid: int) -> None:
    """Starts the peak of memory anew."""
    descriptor = os.open(f"/proc/{pid}/clear_refs", os.O_WRONLY)
    os.write(descriptor, b"5")
    os.close(descriptor)
