"""When rows that were told of are written again, and what of their numbers still counts; without any process."""

import msgspec
import pytest
from recorder_kit import Desk
from stins_recorder.numbers.job import Job
from stins_recorder.numbers.messages import Done, kept_rows

from stins.control import SeriesState, SeriesStatus


def test_rows_that_are_taken_again_begin_a_generation(desk: Desk) -> None:
    desk.start()
    desk.frames(0, 1, 2)
    desk.recording.flush()
    assert (desk.account.rows, desk.account.generation) == (3, 0)
    desk.frame(1, retake=True)
    desk.recording.flush()
    assert (desk.account.rows, desk.account.generation, desk.account.rewound_to) == (2, 1, 1)
    desk.frame(2)
    desk.recording.flush()
    assert (desk.account.rows, desk.account.generation) == (3, 1)


def test_rows_that_nobody_was_told_of_begin_none(desk: Desk) -> None:
    desk.start()
    desk.frames(0, 1)
    desk.frame(1, retake=True)
    desk.recording.flush()
    assert (desk.account.rows, desk.account.generation) == (2, 0)


@pytest.mark.parametrize(("generation", "kept"), [(3, 7), (4, 5), (5, 0)])
def test_numbers_of_rows_before_the_last_change_are_kept(generation: int, kept: int) -> None:
    assert kept_rows(7, 3, generation, rewound_to=5) == kept


class Story:
    """A series whose numbers are asked for, and the answers that its job gets."""

    def __init__(self, rows: int, state: SeriesState = SeriesState.OPEN) -> None:
        self.job = Job(SeriesStatus(series_id="s", state=state, file="a.h5", rows=rows, numbers_state="open"))

    def step(self, *, fails: bool = False) -> int:
        """Carries out the next order; how many rows have their numbers then."""
        work = self.job.work
        assert work is not None
        rows = self.job.rows + min(work.rows - self.job.rows, work.most or work.rows)
        complete = work.over and rows == work.rows
        done = (
            Done(file="a.h5", problem="torn", unreadable=True)
            if fails and not work.skip
            else Done(file="a.h5", rows=rows, complete=complete, values={"sum": rows} if rows > self.job.rows else {})
        )
        self.job.answered(work, done, 1e9)
        return self.job.rows


def test_a_row_that_cannot_be_read_goes_without_after_three_tries() -> None:
    story = Story(10, SeriesState.COMPLETE)
    assert [story.step(fails=True) for _ in range(4)] == [0, 0, 0, 1]
    assert story.job.state == "open"
    assert story.step() == 10
    assert story.job.state == "failed"
    assert story.job.trouble == "numbers of the frames of a.h5: 1 rows go without: torn"


def test_what_may_pass_is_waited_for_and_costs_no_row() -> None:
    story = Story(10, SeriesState.COMPLETE)
    pauses = []
    for _ in range(12):
        work = story.job.work
        assert work is not None
        assert not work.skip
        story.job.answered(work, Done(file="a.h5", problem="No space left on device"), 1e9)
        pauses.append(story.job.pause_s)
    assert (pauses[:3], pauses[-1]) == ([0.3, 0.6, 1.2], 30)
    assert story.job.trouble == "numbers of the frames of a.h5: No space left on device"
    assert story.step() == 10
    # What has passed is no news.
    assert (story.job.state, story.job.trouble) == ("complete", "")


@pytest.mark.parametrize(
    ("size_bytes", "took_s", "pause_s"), [(20_000_000, 0.01, 0.1), (8_000, 0.004, 0.012), (8_000, 0.5, 0.02)]
)
def test_it_rests_by_what_it_has_read_or_by_how_long_that_took(size_bytes: int, took_s: float, pause_s: float) -> None:
    story = Story(10)
    work = story.job.work
    assert work is not None
    story.job.answered(work, Done(file="a.h5", rows=1, size_bytes=size_bytes), 200e6, took_s)
    assert story.job.pause_s == pytest.approx(pause_s)


def test_what_does_not_pass_is_given_up() -> None:
    story = Story(10, SeriesState.COMPLETE)
    waited_s = 0.0
    while (work := story.job.work) is not None:
        story.job.answered(work, Done(file="a.h5", problem="no process can be started for them"), 1e9)
        waited_s += story.job.pause_s
    assert story.job.state == "failed"
    assert "are given up: no process can be started for them" in story.job.trouble
    assert 300 < waited_s < 900


def test_the_numbers_of_the_last_row_stay_until_it_is_taken_again() -> None:
    story = Story(3)
    story.step()
    assert story.job.values_in(story.job.status) == {"sum": 3}
    retaken = msgspec.structs.replace(story.job.status, generation=1, rewound_to=2)
    story.job.heard(msgspec.structs.replace(story.job.status, state=SeriesState.COMPLETE))
    story.step()  # there is nothing but the file to close
    assert (story.job.state, story.job.rows) == ("complete", 3)
    assert story.job.values_in(story.job.status) == {"sum": 3}
    # Even of an account that the job has not heard of yet.
    assert (story.job.rows_in(retaken), story.job.values_in(retaken)) == (2, {})
    story.job.heard(retaken)
    assert (story.job.rows, story.job.values_in(retaken)) == (2, {})


def test_nothing_is_done_before_the_first_row_or_after_the_end() -> None:
    assert Story(0).job.work is None
    story = Story(0, SeriesState.INCOMPLETE)
    story.step()
    assert (story.job.state, story.job.work) == ("complete", None)
