"""Has numbers computed beside the recording: starts the process for it, gives it work, starts another when it dies."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from stins.control import SeriesState, SeriesStatus

from ..errors import RecorderError
from .job import AFTER_FAILURE_S, TRIES, Job
from .messages import Done, Work
from .process import END_LIMIT_S, NumbersProcess

__all__ = ["ROW_LIMIT_S", "NumbersKeeper"]

log = logging.getLogger(__name__)

#: A batch takes 50 ms; one that is not done after so long hangs.
_PATIENCE_S = 15.0
#: After so long at most a row whose reading hangs is skipped; a controller waits longer (its deadline `numbers_s`).
ROW_LIMIT_S = TRIES * (_PATIENCE_S + END_LIMIT_S + AFTER_FAILURE_S)
#: While there is more to do, others are told now and then only.
_TELL_S = 0.1
#: Series whose numbers are not done yet when others begin.
_MOST_JOBS = 16
_CLOSE_S = 5.0


class NumbersKeeper:
    """A thread that begins with the first series whose numbers were asked for.

    It is never waited for: `look` hands over how far a series is, `changed` is called when there is more to show.
    """

    def __init__(self, changed: Callable[[], None], bytes_per_s: float, *, patience_s: float = _PATIENCE_S) -> None:
        self._changed = changed
        self._bytes_per_s, self._patience_s = bytes_per_s, patience_s
        self._news = threading.Condition()
        self._jobs: dict[str, Job] = {}  # by file, the one that was begun last at the end
        self._due: dict[str, float] = {}
        self._process: NumbersProcess | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._told = 0.0

    # -- from the supervisor --------------------------------------------------------------------

    def expect(self) -> None:
        """Numbers will be asked for: loading the libraries takes a second."""
        with self._news:
            self._begin()

    def look(self, series: SeriesStatus | None) -> None:
        """How far the series is that was begun last."""
        if series is None or series.file is None or series.numbers_state == "none":
            return
        with self._news:
            job = self._jobs.get(series.file)
            if job is None and series.state is not SeriesState.OPEN and not Path(series.file).exists():
                return  # the last one of a recorder before, which somebody has moved since
            if job is None or job.status.series_id != series.series_id:
                self._jobs.pop(series.file, None)
                self._jobs[series.file] = Job(series)
                self._forget()
            else:
                job.heard(series)
            self._begin()
            self._news.notify_all()

    def shown(self, series: SeriesStatus) -> SeriesStatus:
        """The status with how far its numbers are, and the last of them."""
        with self._news:
            job = self._jobs.get(series.file or "")
            if job is None or job.status.series_id != series.series_id or series.numbers_state == "none":
                return series
            return msgspec.structs.replace(
                series,
                numbers_rows=job.rows_in(series),
                numbers_values=job.values_in(series),
                numbers_state=job.state,
            )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a human should read about it: of the series that was begun last, and of those that are not done."""
        with self._news:
            jobs = list(self._jobs.values())
            told = [job for job in jobs if job.state == "open" or job is jobs[-1]]
            return tuple(job.trouble for job in told if job.trouble)

    def close(self) -> None:
        """Ends the process. Closing twice does no harm."""
        with self._news:
            self._closed = True
            self._news.notify_all()
            process = self._process
        if process is not None:
            process.end()
        if self._thread is not None:
            self._thread.join(_CLOSE_S)

    def _begin(self) -> None:
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name="numbers", daemon=True)
            self._thread.start()

    def _forget(self) -> None:
        """Those that are done, and whoever is too many."""
        done = [file for file, job in self._jobs.items() if job.state != "open"]
        others = [file for file in self._jobs if file not in done]
        for file in [*done[:-1], *others[:-_MOST_JOBS]]:
            job = self._jobs.pop(file)
            self._due.pop(file, None)
            if job.state == "open":
                log.warning("the numbers of the frames of %s are given up: %d series came after it", file, _MOST_JOBS)

    # -- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        self._start_process()
        while (found := self._next()) is not None:
            job, work = found
            began = time.monotonic()
            done = self._ask(work)
            took_s = time.monotonic() - began
            with self._news:
                said = job.trouble
                job.answered(work, done, self._bytes_per_s, took_s)
                self._due[work.file] = time.monotonic() + job.pause_s
                if (trouble := job.trouble) != said:
                    log.warning("%s", trouble or f"numbers of the frames of {work.file}: that has passed")
                idle = job.work is None
            now = time.monotonic()
            if idle or done.problem or now - self._told > _TELL_S:
                self._told = now
                self._changed()

    def _next(self) -> tuple[Job, Work] | None:
        """The next order, when its time has come; None once closed."""
        with self._news:
            while not self._closed:
                now, waits = time.monotonic(), []
                # The series that runs before those that are over.
                for file, job in reversed(self._jobs.items()):
                    if (work := job.work) is not None:
                        wait_s = self._due.get(file, 0.0) - now
                        if wait_s <= 0:
                            return job, work
                        waits.append(wait_s)
                self._news.wait(min(waits, default=None))
            return None

    def _ask(self, work: Work) -> Done:
        try:
            process = self._process or self._start_process()
            if process is None:
                return Done(file=work.file, problem="no process can be started for them")
            return process.ask(work, self._patience_s)
        except (RecorderError, msgspec.DecodeError) as error:
            if self._process is not None:
                self._process.end()
                self._process = None
            # Frames that HDF5 dies of, or hangs with, are as good as unreadable.
            return Done(file=work.file, problem=str(error), unreadable=True)

    def _start_process(self) -> NumbersProcess | None:
        # Not inside the lock: on a busy machine it takes its time, and each status would wait for it.
        try:
            process = None if self._closed else NumbersProcess()
        except OSError as error:
            log.warning("cannot start a process for the numbers of frames: %s", error)
            return None
        with self._news:
            if not self._closed:
                self._process = process
                return process
        if process is not None:
            process.end()
        return None
