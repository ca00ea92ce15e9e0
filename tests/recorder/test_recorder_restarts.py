"""When a writer that died is started again, and when its series is given up."""

from stins_recorder.supervisor.restarts import Restarts, Verdict


def pauses(restarts: Restarts, count: int, *, achieved: object = 0, resuming: bool = False) -> list[Verdict]:
    return [restarts.died(float(n), achieved=achieved, resuming=resuming) for n in range(count)]


def test_the_first_restart_is_at_once_and_the_pause_doubles_up_to_its_limit() -> None:
    assert [verdict.pause_s for verdict in pauses(Restarts(), 9)] == [0, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]


def test_five_deaths_without_a_frame_more_give_the_series_up() -> None:
    assert [verdict.give_up for verdict in pauses(Restarts(), 6)] == [False, False, False, False, True, True]


def test_a_frame_more_begins_anew() -> None:
    restarts = Restarts()
    pauses(restarts, 4, achieved=10)
    assert restarts.died(5.0, achieved=11, resuming=False) == Verdict(0.0, False)
    assert restarts.total == 5


def test_a_long_life_begins_anew() -> None:
    restarts = Restarts()
    pauses(restarts, 4)
    restarts.begun(100.0)
    assert restarts.died(131.0, achieved=0, resuming=False) == Verdict(0.0, False)


def test_three_deaths_while_going_on_with_a_file_give_it_up() -> None:
    assert [verdict.give_up for verdict in pauses(Restarts(), 3, resuming=True)] == [False, False, True]
