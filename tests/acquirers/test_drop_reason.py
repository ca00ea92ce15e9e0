"""When a backend is asked why frames are lost, and what stays of its answers."""

from stins_acquirers.drop_reason import DropReason


class Losing:
    """A backend that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.knows = True
        self.quickly: list[bool] = []

    def lost(self) -> tuple[tuple[int, int], ...]:
        return ()

    def why_lost(self, *, quickly: bool = False) -> str:
        self.asked += 1
        self.quickly.append(quickly)
        return f"answer {self.asked}" if self.knows else ""


def test_a_backend_is_asked_at_the_first_loss_and_not_with_each_further_one() -> None:
    backend = Losing()
    reason = DropReason(backend)
    assert not reason.look(0)
    assert reason.look(1)
    assert [reason.look(lost) for lost in (1, 2, 3)] == [False, False, False]
    assert (reason.text, backend.asked) == ("answer 1", 1)


def test_at_the_end_it_is_asked_again_if_more_was_lost_since() -> None:
    reason = DropReason(Losing())
    reason.look(1)
    assert not reason.look(1, now=True)
    assert reason.look(2, now=True)
    assert reason.text == "answer 2"


def test_in_mid_series_it_is_not_waited_for_and_at_the_end_it_is() -> None:
    backend = Losing()
    reason = DropReason(backend)
    reason.look(1)
    reason.look(2, now=True)
    assert backend.quickly == [True, False]


def test_what_it_said_stays_behind_an_abort_and_is_forgotten_with_the_next_series() -> None:
    backend = Losing()
    reason = DropReason(backend)
    reason.look(1)
    backend.knows = False
    assert not reason.look(2, now=True)
    assert (reason.ask(), reason.text) == ("", "answer 1")
    reason.forget()
    assert reason.text == ""


def test_without_a_backend_that_knows_there_is_no_reason() -> None:
    reason = DropReason(None)
    assert not reason.look(1)
    assert reason.text == ""
