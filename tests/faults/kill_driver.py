"""Kills a recorder at every call that changes a file, and looks at what it leaves. Run with the shim preloaded.

`python kill_driver.py` takes jobs as lines of JSON and answers each point with one. A life and each reader is a fork of
this process, in which everything is imported: some ms a point. A reader has a time limit: HDF5 may hang on a torn file.
"""

import itertools
import os
import shutil
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import h5py
import msgspec
import numpy as np
from shim import CHANGES, FaultPage, Kind, Mode
from short_series import DATA, NUMBERS, ShortSeries, image, live

__all__ = ["Job", "Point"]

_READER_S = 5.0


class Job(msgspec.Struct, frozen=True):
    """One series, killed at each `stride`-th call (from `first` on), and whether half of the last write is done."""

    series: ShortSeries
    torn: bool = False
    first: int = 1
    stride: int = 1


class Point(msgspec.Struct, frozen=True):
    """What became of one kill; "" where everything acked is there."""

    series: str
    torn: bool
    call: int
    acked: int
    as_it_is: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing acked was lost."""
        return not self.as_it_is


def points(job: Job, folder: Path, page: FaultPage) -> Iterator[Point]:
    """Kills one life after the other, until one lives to its end."""
    messages = job.series.messages()
    root = folder / "data"
    mode, kinds = (Mode.TORN, Kind.WRITE) if job.torn else (Mode.KILL, CHANGES)
    for call in itertools.count(job.first, job.stride):
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        page.arm(mode, root, call, kinds=kinds)
        acked = _acked(partial(live, job.series, root, messages))
        page.disarm()
        if not page.struck:
            assert acked == job.series.frames, f"{job.series.name}: a life that nobody killed acked {acked} frames"
            return
        as_it_is = "" if job.torn else _bounded(partial(_read, job.series, root, acked))
        yield Point(job.series.name, job.torn, call, acked, as_it_is)


def _acked(life: Callable[[Callable[[int], object]], None]) -> int:
    """Forks a life; how many rows it said were acked before its end."""

    def tell(writing: int) -> None:
        life(lambda rows: os.write(writing, struct.pack("<q", rows)))

    told, code = _fork(tell)
    assert code in (0, -signal.SIGKILL), f"the life ended with {code}, expected a kill"
    return int(struct.unpack("<q", told[-8:])[0]) if told else 0


def _bounded(look: Callable[[], str]) -> str:
    """What a forked reader says; it has a time limit."""

    def tell(writing: int) -> None:
        signal.setitimer(signal.ITIMER_REAL, _READER_S)  # it ends the process
        try:
            words = look()
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
        os.write(writing, words.encode()[:4000])

    words, code = _fork(tell)
    if code == -signal.SIGALRM:
        return f"the reader hung for {_READER_S:g} s"
    return words.decode() if code == 0 else f"the reader ended with {code}"


def _fork(work: Callable[[int], None]) -> tuple[bytes, int]:
    """What a fork wrote into its end of a pipe, and its exit code."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            work(writing)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    return told, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _read(series: ShortSeries, root: Path, acked: int) -> str:
    """What is wrong with the acked rows of a file as it is."""
    if not acked:
        return ""
    with h5py.File(root / series.filename, "r", libver="latest", swmr=True, locking=False) as file:
        return _compare(series, file, acked)


def _compare(series: ShortSeries, file: h5py.File, rows: int) -> str:
    frames, numbers = file[DATA], file[NUMBERS]
    if len(frames) < rows or len(numbers) < rows:
        return f"{len(frames)} frames and {len(numbers)} numbers are there, {rows} were acked"
    if not np.array_equal(numbers[:rows], np.arange(rows)):
        return f"wrong numbers: {numbers[:rows]}"
    wrong = [n for n, frame in enumerate(frames[:rows]) if not np.array_equal(frame, image(n, series.side))]
    return f"{len(wrong)} of {rows} acked frames are not what was sent, from {wrong[0]} on" if wrong else ""


def main() -> int:
    """Answers the jobs of standard input."""
    folder = Path(sys.argv[1])
    page = FaultPage(Path(os.environ["FAULT_PAGE"]))
    for line in sys.stdin:
        job = msgspec.json.decode(line, type=Job)
        for point in points(job, folder, page):
            print(msgspec.json.encode(point).decode(), flush=True)
        print("", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
