"""Processes that end by themselves: started again, and given up one by one or all."""

from collections.abc import Mapping

import pytest

from stins import StinsError
from stins_ophyd.beamline import Supervision


class Detector:
    """An acquirer and recorders; those in `dying` have ended whenever they are looked at."""

    def __init__(self, recorders: int, *dying: str) -> None:
        keys = ["recorder"] if recorders == 1 else [f"recorder {index}" for index in range(recorders)]
        self.addresses: Mapping[str, str] = dict.fromkeys(["acquirer", *keys], "http://127.0.0.1:1")
        self.dying = list(dying)
        self.restarted: list[str] = []
        self.stopped = False

    def ended(self) -> dict[str, str]:
        return {key: f"{key} ended with status 1" for key in self.dying}

    def restart(self, key: str) -> None:
        if key == "simulator":
            raise StinsError("no port")
        self.restarted.append(key)

    def by_hand(self, key: str) -> str:
        return f"stins start {key}"

    def stop(self) -> None:
        self.stopped = True


class Clock:
    """Time that passes by looking at it."""

    def __init__(self, step_s: float) -> None:
        self.now, self._step_s = 0.0, step_s

    def __call__(self) -> float:
        self.now += self._step_s
        return self.now


def looked_at(detector: Detector, times: int = 10, step_s: float = 1.0) -> tuple[Supervision, list[str]]:
    said: list[str] = []
    supervision = Supervision("det", detector, said.append, clock=Clock(step_s))
    for _ in range(times):
        supervision.look()
    return supervision, said


def test_one_of_several_recorders_is_given_up_alone_and_the_others_run_on() -> None:
    supervision, said = looked_at(detector := Detector(2, "recorder 1"))
    assert (supervision.lost, supervision.given_up, detector.stopped) == ({"recorder 1"}, False, False)
    assert detector.restarted == ["recorder 1"] * 4
    assert said[-1].startswith("det: recorder 1 ends again and again; giving it up. The others go on")
    # Whoever ends `stins up` first ends the acquirer, and with it what it keeps.
    assert "`stins start recorder 1` in another terminal" in said[-1]
    assert len(said) == 6


def test_after_one_recorder_was_given_up_another_is_still_started_again() -> None:
    supervision, _ = looked_at(detector := Detector(3, "recorder 1"))
    detector.dying.append("recorder 2")
    supervision.look()
    assert detector.restarted[-1] == "recorder 2"
    assert not detector.stopped


@pytest.mark.parametrize(
    ("recorders", "dying"),
    [(1, ["acquirer"]), (1, ["recorder"]), (2, ["acquirer"]), (2, ["simulator"]), (2, ["recorder 0", "recorder 1"])],
)
def test_a_detector_is_given_up_where_nothing_can_go_on_without_what_ends(recorders: int, dying: list[str]) -> None:
    supervision, said = looked_at(detector := Detector(recorders, *dying))
    assert (supervision.given_up, detector.stopped) == (True, True)
    assert said[-1] == "det: its processes end again and again; giving it up. Look at its messages above"


def test_what_cannot_be_started_again_is_said_and_tried_again() -> None:
    _, said = looked_at(Detector(1, "simulator"), times=2)
    assert [text.splitlines()[-1] for text in said] == ["  cannot be started again: no port"] * 2


def test_what_ends_now_and_then_is_started_again_for_ever() -> None:
    supervision, _ = looked_at(detector := Detector(1, "recorder"), times=20, step_s=100.0)
    assert not supervision.lost
    assert len(detector.restarted) == 20
