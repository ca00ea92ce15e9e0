"""How far the numbers of one series are, and what is to be done for them next. No I/O, no clock."""

from collections.abc import Mapping

import msgspec

from stins.control import NumbersState, SeriesState, SeriesStatus

from .messages import Done, Work, kept_rows

__all__ = ["AFTER_FAILURE_S", "TRIES", "Job"]

#: What fails so often is not tried again: a row that cannot be read goes without its numbers.
TRIES = 3
#: What else hinders it may pass (a full disk, no room for a process, one before that still has the file): it is tried
#: again, more and more seldom, and given up after ten minutes.
_MOST_HINDERED, _SELDOM_S = 25, 30.0
#: So many rows that cannot be read are tried one by one; behind these all go without.
_MOST_SKIPPED = 100
#: It rests three times as long as an order has taken: a quarter of a core. On a busy machine it hardly had one.
_REST, _MOST_REST_S = 3.0, 0.02
_AGAIN_S, AFTER_FAILURE_S = 0.05, 0.3


class Job:
    """The numbers of the series that `status` is of; `done` is what the process has said last of what there is.

    `pause_s` is how long it should be left alone.
    """

    def __init__(self, status: SeriesStatus) -> None:
        self.status = status
        self.pause_s = 0.0
        # What went wrong since it last worked, and why rows go without.
        self._problem = self._why = ""
        self._done: Done | None = None
        self._tries = self._hindered = self._skipped = 0
        self._given_up = False

    # -- what is known --------------------------------------------------------------------------

    @property
    def rows(self) -> int:
        """How many leading rows have their numbers, as the series stands now."""
        return self.rows_in(self.status)

    def rows_in(self, status: SeriesStatus) -> int:
        """The same of another account of the series: whoever tells of it may have heard an older or newer one."""
        done = self._done
        if done is None:
            return 0
        return min(kept_rows(done.rows, done.generation, status.generation, status.rewound_to), status.rows)

    @property
    def state(self) -> NumbersState:
        """`failed`: some will never come."""
        if self._given_up:
            return "failed"
        if self._done is None or not self._done.complete:
            return "open"
        return "failed" if self._skipped else "complete"

    def values_in(self, status: SeriesStatus) -> Mapping[str, float]:
        """The numbers of the last of these rows, if it is the one that was computed last, by name."""
        done = self._done
        return done.values if done is not None and done.rows == self.rows_in(status) else {}

    @property
    def trouble(self) -> str:
        """What a human should read about it; what has passed and cost nothing is no news."""
        of = f"numbers of the frames of {self.status.file}"
        if self._given_up:
            return f"{of} are given up: {self._problem}"
        if self._skipped:
            return f"{of}: {self._skipped} rows go without: {self._why}"
        return f"{of}: {self._problem}" if self._problem else ""

    # -- what is to be done ---------------------------------------------------------------------

    @property
    def work(self) -> Work | None:
        """The next order; None where there is nothing to do."""
        status = self.status
        over = status.state is not SeriesState.OPEN
        # Nothing before its first row is flushed: up to then the series may get its file anew.
        if self.state != "open" or (self.rows == status.rows and not over):
            return None
        hopeless = self._skipped > _MOST_SKIPPED
        return Work(
            file=status.file or "",
            rows=status.rows,
            generation=status.generation,
            rewound_to=status.rewound_to,
            over=over,
            # One by one, once there was a failure: it is that of one row, mostly.
            most=1 if self._tries and not hopeless else None,
            skip=hopeless or self._tries >= TRIES,
        )

    def answered(self, work: Work, done: Done, bytes_per_s: float, took_s: float = 0.0) -> None:
        """What came of that order in that time; `bytes_per_s` is how fast frames may be looked at in a running series.

        Small frames, a few at a time, cost less for their pixels than for each order.
        """
        if done.again:
            self.pause_s = _AGAIN_S
        elif done.problem:
            self._failed(done)
        else:
            if work.skip:
                self._skipped += max(0, done.rows - (self._done.rows if self._done else 0))
                self._why = self._why or self._problem
            self._done, self._tries, self._hindered, self._problem = self._with_values(done), 0, 0, ""
            least_s = min(_REST * took_s, _MOST_REST_S)
            self.pause_s = 0.0 if work.over else max(done.size_bytes / bytes_per_s, least_s)

    def _with_values(self, done: Done) -> Done:
        """An order that only closes the file computes none: those of the last row are what they were."""
        before = self._done
        if before is None or done.values or (done.rows, done.generation) != (before.rows, before.generation):
            return done
        return msgspec.structs.replace(done, values=before.values)

    def _failed(self, done: Done) -> None:
        self._problem = done.problem
        if done.unreadable:
            self._tries += 1
            self.pause_s = AFTER_FAILURE_S
            return
        self.pause_s = min(AFTER_FAILURE_S * 2**self._hindered, _SELDOM_S)
        self._hindered += 1
        self._given_up = self._hindered >= _MOST_HINDERED

    def heard(self, status: SeriesStatus) -> None:
        """The series has got further."""
        self.status = status
