"""What is known of what a detector itself lost, and what stays of it."""

import pytest
from stins_acquirers.backend import Frame
from stins_acquirers.losses import DetectorLosses
from stins_acquirers.simulated import SimulatedBackend, SimulatedSettings


class Losing(SimulatedBackend):
    """Has lost frames, and counts how often it is asked why; `broken` are the calls that fail."""

    def __init__(self) -> None:
        super().__init__(SimulatedSettings(shape=(8, 8)))
        self.unnamed: tuple[tuple[int, int], ...] = ((1, 2),)
        self.known = "they were dropped"
        self.asked: list[bool] = []
        self.broken: tuple[str, ...] = ()

    def lost(self) -> tuple[tuple[int, int], ...]:
        if "lost" in self.broken:
            raise ZeroDivisionError("in lost")
        return self.unnamed

    def why_lost(self, *, quickly: bool = False) -> str:
        self.asked.append(quickly)
        if "why_lost" in self.broken or ("quickly" in self.broken and quickly):
            raise ZeroDivisionError("in why_lost")
        return self.known


def begun(backend: SimulatedBackend) -> DetectorLosses:
    losses = DetectorLosses("det", backend)
    losses.begin()
    return losses


def frame(number: int, *lost: tuple[int, int]) -> Frame:
    return Frame(number=number, frames_dropped=lost)


def test_what_frames_name_and_what_the_backend_knows_beside_it_is_counted() -> None:
    losses = begun(Losing())
    assert (losses.name([frame(0), frame(7, (3, 4), (6, 6))]), losses.name([frame(8)])) == (True, False)
    assert (losses.count, losses.unnamed) == (5, ((1, 2),))


def test_without_a_backend_that_knows_more_there_are_those_that_frames_name() -> None:
    losses = begun(SimulatedBackend(SimulatedSettings(shape=(8, 8))))
    losses.name([frame(1, (0, 0))])
    losses.glance()
    assert (losses.count, losses.ask(), losses.why) == (1, "", "")


def test_in_mid_series_nobody_waits_for_the_backend_and_at_the_end_it_is_asked_in_earnest() -> None:
    backend = Losing()
    losses = begun(backend)
    losses.glance()
    losses.ask()
    assert backend.asked == [True, False]


def test_why_is_not_asked_while_nothing_is_lost() -> None:
    backend = Losing()
    backend.unnamed = ()
    begun(backend).glance()
    assert backend.asked == []


def test_a_later_answer_takes_the_place_of_an_earlier_one_and_no_answer_does_not() -> None:
    backend = Losing()
    losses = begun(backend)
    said = []
    for backend.known in ("", "first", "", "second"):
        losses.glance()
        said.append(losses.why)
    assert said == ["", "first", "first", "second"]


def test_what_was_said_stays_behind_the_end_and_is_forgotten_with_the_next_series() -> None:
    backend = Losing()
    losses = begun(backend)
    losses.glance()
    losses.end(((1, 2), (9, 9)))
    losses.glance()
    assert (losses.count, losses.unnamed, losses.why) == (3, (), "they were dropped")
    assert backend.asked == [True]
    losses.begin()
    assert (losses.count, losses.why) == (2, "")


@pytest.mark.parametrize(
    ("broken", "known"),
    [
        ("quickly", (2, "", "they were dropped")),
        ("why_lost", (2, "", "")),
        ("lost", (0, "", "they were dropped")),
    ],
)
def test_what_a_backend_fails_to_say_is_logged_once_and_done_without(
    broken: str, known: tuple[int, str, str], caplog: pytest.LogCaptureFixture
) -> None:
    backend = Losing()
    backend.broken = (broken,)
    losses = begun(backend)
    for _ in range(3):
        losses.glance()
    assert [record.getMessage().split(" it cannot")[0] for record in caplog.records] == ["det: bug in the backend:"]
    assert (losses.count, losses.why, losses.ask()) == known
