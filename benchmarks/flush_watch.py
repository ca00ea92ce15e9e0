"""Looks how many frames of a file are flushed while it is written, as any other process would: by SWMR.

A process of its own, with as few imports as can be: a line of JSON `[file, frames]` on stdin begins, and one on stdout
has the looks, `[monotonic seconds, frames that are flushed]`, until all are.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py

__all__ = ["FlushWatch", "flush_watch"]

LOOK_S = 0.005
_DEADLINE_S = 120.0


class FlushWatch:
    """Such a process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def begin(self, file: str, frames: int) -> None:
        """Looks at that file from now on, until so many frames of it are flushed."""
        assert self._process.stdin is not None
        print(json.dumps([file, frames]), file=self._process.stdin, flush=True)

    def looks(self) -> list[tuple[float, int]]:
        """When how many were."""
        assert self._process.stdout is not None
        return [(at, rows) for at, rows in json.loads(self._process.stdout.readline())]


@contextmanager
def flush_watch() -> Iterator[FlushWatch]:
    """Starts one, and ends it."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield FlushWatch(process)
    finally:
        process.terminate()
        process.communicate()


def _looks(file: str, frames: int) -> list[tuple[float, int]]:
    deadline = time.monotonic() + _DEADLINE_S
    looks: list[tuple[float, int]] = []
    while not looks and time.monotonic() < deadline:
        # Until its first frame comes, the file is not one that can be read meanwhile.
        with suppress(OSError, KeyError), h5py.File(file, "r", swmr=True, locking=False) as opened:
            rows = opened["/entry/series/rows"]
            while (not looks or looks[-1][1] < frames) and time.monotonic() < deadline:
                rows.refresh()
                looks.append((time.monotonic(), int(rows[()])))
                time.sleep(LOOK_S)
        time.sleep(LOOK_S)
    return looks


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(_looks(*json.loads(line))), flush=True)
