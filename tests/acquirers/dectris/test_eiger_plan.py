"""What the detector is armed with, and how a series' threads end."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest
from stins_acquirers.backend import Frame
from stins_acquirers.conformance import arm_request
from stins_acquirers.dectris.dcu import Dcu
from stins_acquirers.dectris.errand import Errand, in_time
from stins_acquirers.dectris.incoming import Identity, Incoming
from stins_acquirers.dectris.link import Link
from stins_acquirers.dectris.plan import Plan, plan_of
from stins_acquirers.dectris.series import EigerSeries
from stins_acquirers.dectris.settings import EigerSettings
from stins_acquirers.dectris.watch import Seen, Watch

DEADLINE_S = 30.0


@pytest.mark.parametrize(
    ("mode", "settings", "frames", "most", "planned"),
    [
        ("internal", {}, 1, 2_000_000_000, (2_000_000_000, 1)),
        ("internal", {"command_mode": "inte"}, 1, 2_000_000_000, (1, 2_000_000_000)),
        ("external", {}, 1, 2_000_000_000, (1, 2_000_000_000)),
        ("external", {"cable_mode": "exte"}, 1, 2_000_000_000, (1, 2_000_000_000)),
        ("external", {"cable_mode": "extg"}, 1, 2_000_000_000, (2_000_000_000, 1)),
        # All images together are 2^48 at most.
        ("software", {}, 1 << 20, 2_000_000_000, (1 << 20, 1 << 28)),
        ("software", {}, 5, 1000, (5, 1000)),
        ("software", {}, 5, None, (5, 2_000_000_000)),
    ],
)
def test_a_series_without_end_has_as_many_images_as_the_detector_takes(
    mode: Any, settings: dict[str, Any], frames: int, most: int | None, planned: tuple[int, int]
) -> None:
    plan = plan_of(arm_request(mode, frames, triggers=None), EigerSettings(host="dcu", **settings), most)
    assert (plan.images, plan.triggers, plan.expected) == (*planned, None)


class SlowDcu:
    """Answers the trigger a moment after the abort, and a look at its status later still."""

    url = "http://dcu"

    def __init__(self) -> None:
        self.simplon = self
        self.looking, self.answered, self.looked = threading.Event(), threading.Event(), threading.Event()
        self.interrupted_before_answer: list[bool] = []

    def looker(self) -> Callable[[], Seen]:
        def look() -> Seen:
            self.looking.set()
            self.looked.wait(DEADLINE_S)
            return Seen(time.monotonic(), "acquire")

        return look

    def trigger(self, _plan: Plan) -> None:
        self.answered.wait(DEADLINE_S)
        self.looked.set()

    def finish(self) -> None:
        """Nothing is left to be ended."""

    def abort(self, _step: str) -> None:
        threading.Timer(0.2, self.answered.set).start()

    def interrupt(self) -> None:
        self.interrupted_before_answer.append(not self.answered.is_set())
        self.answered.set()
        self.looked.set()


def test_a_trigger_that_is_about_to_be_answered_is_not_cut_short() -> None:
    dcu, settings = SlowDcu(), EigerSettings(host="dcu")
    plan = plan_of(arm_request(), settings, None)
    series = EigerSeries(cast("Dcu", dcu), cast("Link", None), plan, Identity(1), settings)
    series.trigger(None)
    assert dcu.looking.wait(DEADLINE_S)
    series.abort()
    assert dcu.interrupted_before_answer == []


def test_what_is_about_to_end_is_waited_for_in_one_time_for_all() -> None:
    may_end = threading.Event()
    first, second = (Errand("eiger-test", lambda: may_end.wait(DEADLINE_S)) for _ in range(2))
    began = time.monotonic()
    assert not in_time([first.wait, second.wait], 0.2)
    assert time.monotonic() - began >= 0.2
    may_end.set()
    assert in_time([first.wait, second.wait], DEADLINE_S)


def test_a_look_that_is_in_a_hurry_is_not_put_off() -> None:
    looked = threading.Semaphore(0)

    def look() -> Seen:
        looked.release()
        return Seen(time.monotonic(), "acquire")

    watch = Watch(look, 300.0)
    assert looked.acquire(timeout=DEADLINE_S)
    watch.hurry()
    assert looked.acquire(timeout=DEADLINE_S)
    watch.close()
    assert watch.join(DEADLINE_S)


class Gap:
    """A DCU that notes when it is looked at, and its stream, which has lost an image."""

    url = endpoint = "http://dcu"

    def __init__(self) -> None:
        self.simplon = self
        self.looks: queue.SimpleQueue[float] = queue.SimpleQueue()
        self._images = [0, 2]

    def looker(self) -> Callable[[], Seen]:
        def look() -> Seen:
            self.looks.put(time.monotonic())
            return Seen(time.monotonic(), "acquire", 1)

        return look

    def receive(self, _timeout_s: float) -> Incoming | None:
        return Incoming(Identity(1), Frame(number=self._images.pop(0))) if self._images else None

    def abort(self, _step: str) -> None:
        """Nothing is under way."""


def from_loss_to_look_s() -> float:
    """How long it takes until the DCU is looked at because an image is lost."""
    dcu, settings = Gap(), EigerSettings(host="dcu")
    plan = plan_of(arm_request(frames=9), settings, None)
    series = EigerSeries(cast("Dcu", dcu), cast("Link", dcu), plan, Identity(1), settings)
    dcu.looks.get(timeout=DEADLINE_S)
    lost = time.monotonic()
    assert [frame.number for frame in series.read(0.0)] == [0, 2]
    looked = dcu.looks.get(timeout=DEADLINE_S)
    series.abort()
    return looked - lost


def test_the_first_image_that_is_lost_has_the_dcu_looked_at_at_once() -> None:
    # Else it is looked at each half second; a busy machine makes one late.
    assert min(from_loss_to_look_s() for _ in range(3)) < 0.3


def test_a_bug_in_the_look_at_the_detector_passes_for_no_answer() -> None:
    def look() -> Seen:
        raise ZeroDivisionError("in the look")

    watch = Watch(look, 0.01)
    deadline = time.monotonic() + DEADLINE_S
    while not watch.problem:
        assert time.monotonic() < deadline
    assert watch.problem == "eiger-watch: bug: ZeroDivisionError('in the look')"
    assert watch.silent_s > 0
    watch.close()
    assert watch.join(DEADLINE_S)
