"""Kills a recorder at every call that changes a file, and looks at what it leaves. Run with the shim preloaded.

`python kill_driver.py FOLDER` takes jobs as lines of JSON and answers each point with one; an empty line ends a job.
A life and each reader is a fork of this process, in which everything is imported: some ms each. A reader has a limit:
HDF5 may loop on a torn file, for ever.
"""

import itertools
import logging
import os
import re
import shutil
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import leftovers
import msgspec
from shim import CHANGES, FaultPage, Kind, Mode
from short_series import ShortSeries, live

__all__ = ["Job", "Point"]

#: Of the processor: HDF5 hangs in a loop, and on a loaded machine the disk may keep a reader waiting. And of time.
_READER_CPU_S, _READER_S = 5.0, 60.0


class Job(msgspec.Struct, frozen=True):
    """One series, killed at each `stride`-th call from `first` on; `torn`: half of the last write is done.

    `resumed`: the life that is killed is the second one, of a writer that goes on after the first died at this call.
    """

    series: ShortSeries
    torn: bool = False
    resumed: int = 0
    first: int = 1
    stride: int = 1


class Point(msgspec.Struct, frozen=True):
    """What was found after one kill: "" where everything acked is there, else what is wrong.

    `as_it_is`: for a reader beside the dead writer (with swmr=True); `salvaged`: for any reader after salvage, `bare`
    without the journal; `gone_on`: after the next writer went on until the end of the series; `segments`: those that
    were closed, untouched.
    """

    series: str
    torn: bool
    resumed: int
    call: int
    acked: int
    as_it_is: str = ""
    salvaged: str = ""
    bare: str = ""
    gone_on: str = ""
    segments: str = ""


class KillDriver:
    """Kills lives in `folder`."""

    def __init__(self, folder: Path, page: FaultPage) -> None:
        self._root, self._before, self._copy = folder / "data", folder / "before", folder / "copy"
        self._page = page

    def points(self, job: Job) -> Iterator[Point]:
        """Kills one life after the other, until one lives to its end."""
        shutil.rmtree(self._before, ignore_errors=True)
        self._before.mkdir()
        acked = -1
        if job.resumed:
            self._restore(self._before)
            acked = self._life(job.series, acked, Mode.KILL, job.resumed)
            assert self._page.struck, f"the first life was over before call {job.resumed}"
            self._save(self._before)
        for call in itertools.count(job.first, job.stride):
            self._restore(self._before)
            got = self._life(job.series, acked, Mode.TORN if job.torn else Mode.KILL, call)
            if not self._page.struck:
                return
            yield self._look(job, call, got)

    def _life(self, series: ShortSeries, acked: int, mode: Mode, call: int) -> int:
        """A life that gets everything behind the last ack; the last ack after it."""
        kinds = Kind.WRITE if mode is Mode.TORN else CHANGES
        messages = series.messages()[acked + 1 :]
        self._page.arm(mode, self._root, call, kinds=kinds)
        told, code = _fork(partial(_tell_acks, partial(live, series, self._root, messages)))
        self._page.disarm()
        assert code == (-signal.SIGKILL if self._page.struck else 0), f"the life ended with {code}"
        return struct.unpack("<q", told[-8:])[0] if told else acked

    def _look(self, job: Job, call: int, acked: int) -> Point:
        series, root = job.series, self._root
        frames = min(max(acked, 0), len(series.takes))
        self._save(self._copy)
        # While its end is written, what shows the frames of several files is exchanged: one who reads along waits.
        ending = series.frames_per_file is not None and frames == len(series.takes)
        as_it_is = "" if job.torn or ending else _bounded(partial(leftovers.as_it_is, series, root, frames))
        segments = _bounded(partial(leftovers.closed_segments, series, root))
        salvaged = _bounded(partial(leftovers.salvaged, series, root, frames, torn=job.torn))
        self._restore(self._copy)
        bare = _bounded(partial(leftovers.salvaged, series, root, frames, journal=False))
        self._restore(self._copy)
        gone_on = "" if job.torn else self._go_on(series, acked)
        return Point(series.name, job.torn, job.resumed, call, frames, as_it_is, salvaged, bare, gone_on, segments)

    def _go_on(self, series: ShortSeries, acked: int) -> str:
        messages = series.messages()[acked + 1 :]

        def go_on() -> str:
            live(series, self._root, messages, lambda _message_id: None)
            return ""

        return _bounded(go_on) or _bounded(partial(leftovers.complete, series, self._root))

    def _save(self, to: Path) -> None:
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self._root, to)

    def _restore(self, source: Path) -> None:
        shutil.rmtree(self._root, ignore_errors=True)
        shutil.copytree(source, self._root)


def _tell_acks(life: Callable[[Callable[[int], object]], None], writing: int) -> None:
    life(lambda message_id: os.write(writing, struct.pack("<q", message_id)))


def _bounded(look: Callable[[], str]) -> str:
    """What a forked reader says; it has a time limit."""

    def tell(writing: int) -> None:
        # Each ends the process.
        signal.setitimer(signal.ITIMER_PROF, _READER_CPU_S)
        signal.setitimer(signal.ITIMER_REAL, _READER_S)
        try:
            words = look()
        except Exception as error:
            words = "".join(traceback.format_exception_only(error)).strip()
        os.write(writing, re.sub(r"/\S*/", "", words).encode()[:4000])  # where its folder is does not matter

    words, code = _fork(tell)
    if code in (-signal.SIGALRM, -signal.SIGPROF):
        spent = f"{_READER_CPU_S:g} s of the processor" if code == -signal.SIGPROF else f"{_READER_S:g} s"
        return f"the reader hung for {spent}"
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


def main() -> int:
    """Answers the jobs of standard input."""
    logging.disable()
    driver = KillDriver(Path(sys.argv[1]), FaultPage(Path(os.environ["FAULT_PAGE"])))
    for line in sys.stdin:
        for point in driver.points(msgspec.json.decode(line, type=Job)):
            print(msgspec.json.encode(point).decode(), flush=True)
        print(flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
