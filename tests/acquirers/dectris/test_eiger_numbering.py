"""Which frame an image is, what was lost, and how the end says so: values only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stins_acquirers.backend import BackendError, Ending
from stins_acquirers.conformance import arm_request
from stins_acquirers.dectris import EigerSettings
from stins_acquirers.dectris.losses import Conclusion, Losses, Told, conclude
from stins_acquirers.dectris.numbering import Numbering
from stins_acquirers.dectris.plan import Plan, plan_of


def spread(spans: tuple[tuple[int, int], ...]) -> list[int]:
    return [number for first, last in spans for number in range(first, last + 1)]


@given(st.sets(st.integers(0, 200)), st.integers(0, 20))
def test_every_image_is_a_frame_or_lost_and_none_is_both(images: set[int], per_trigger: int) -> None:
    numbering = Numbering(per_trigger)
    frames, lost = [], []
    for image in sorted(images):
        taken = numbering.take(image)
        assert taken is not None
        frames.append(taken[0])
        lost += spread(taken[1])
    lost += spread(numbering.lose_up_to(201))
    assert frames == sorted(images)
    assert sorted([*frames, *lost]) == list(range(201))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.integers(1, 4))
def test_the_images_of_each_trigger_are_the_frames_that_were_asked_for(firsts: list[int], per_trigger: int) -> None:
    numbering = Numbering(per_trigger)
    image, following = 0, 0
    for first in firsts:
        first_frame = min(first, following)
        numbering.trigger(first_frame)
        frames = [numbering.take(image + index) for index in range(per_trigger)]
        assert frames == [(first_frame + index, ()) for index in range(per_trigger)]
        image, following = image + per_trigger, first_frame + per_trigger
        assert (numbering.triggered, numbering.next_frame) == (image, following)


def test_an_image_that_came_before_is_none() -> None:
    numbering = Numbering()
    numbering.take(3)
    assert numbering.take(3) is None
    assert numbering.take(1) is None


def test_what_is_taken_again_is_not_lost_but_what_stands_before_it_is() -> None:
    numbering = Numbering(4)
    numbering.trigger(None)
    numbering.take(0)
    numbering.trigger(2)  # frames 2 to 5 again; image 1 was frame 1
    assert numbering.take(4) == (2, ((1, 1),))


def end(
    images: int,
    *,
    expected: int | None = 10,
    gaps: int = 0,
    dropped: int | Told = 0,
    on_request: bool = False,
    end_came: bool = True,
) -> Ending:
    numbering, losses = Numbering(), Losses()
    numbering.take(images - 1)
    losses.add((), gaps, 0.0)
    how = Conclusion(expected=expected, on_request=on_request, end_came=end_came)
    return conclude(numbering, losses, how, lambda: dropped if isinstance(dropped, Told) else Told(dropped))


def test_a_whole_series_ends_as_finished() -> None:
    assert end(10) == Ending()


def test_a_series_that_was_disarmed_ends_as_finished_wherever_it_was() -> None:
    assert end(3, on_request=True) == Ending()


def test_images_that_the_detector_took_and_dropped_behind_the_last_are_declared() -> None:
    ending = end(7, dropped=3)
    assert (ending.status, ending.frames_dropped) == ("failed", ((7, 9),))
    assert ending.reason.startswith("3 images did not come (the DCU's stream says that it dropped 3)")


def test_more_are_never_declared_than_the_series_has() -> None:
    assert end(7, dropped=100).frames_dropped == ((7, 9),)


def test_gaps_account_for_what_was_dropped() -> None:
    ending = end(10, gaps=2, dropped=2)
    assert (ending.status, ending.frames_dropped) == ("failed", ())


def test_gaps_that_the_detector_knows_nothing_of_were_another_receivers() -> None:
    none, some, all_ = (end(10, gaps=2, dropped=dropped).reason for dropped in (0, 1, 2))
    assert none.endswith("dropped none): does another receiver take messages from this stream, too?")
    assert some.endswith("dropped 1): nobody took them in time, or another receiver did")
    assert all_.endswith("dropped 2): nobody took them in time")


def test_no_answer_is_not_said_to_be_a_number() -> None:
    unsaid = "the DCU does not say how many its stream has dropped"
    either = "nobody took them in time, or another receiver did"
    assert end(10, gaps=2, dropped=Told(late=True)).reason == f"2 images did not come ({unsaid}): {either}"
    assert end(4, dropped=Told(late=True)).reason.endswith(f"somebody ended it there?; {unsaid}")
    some = end(10, gaps=2, dropped=Told(1, late=True)).reason
    assert some == f"2 images did not come (1 were dropped when the DCU said so last): {either}"
    assert end(10, gaps=2, dropped=Told(2, late=True)).reason.endswith("dropped 2): nobody took them in time")


class Dcu:
    """Has said at some time how many were dropped."""

    def __init__(self, *, at: float, dropped: int) -> None:
        self.at, self.dropped = at, dropped

    def told(self, since: float) -> Told:
        return Told(self.dropped, late=self.at < since)


def test_in_mid_series_it_is_said_why_images_are_lost_once_the_dcu_has_said_it() -> None:
    losses = Losses()
    losses.add(((3, 3),), 1, noticed=10.0)
    losses.explain(Dcu(at=9.9, dropped=0).told)
    assert (losses.why, losses.explained) == ("", False)
    losses.explain(Dcu(at=10.1, dropped=0).told)
    assert losses.why.startswith("1 images did not come (the DCU's stream says that it dropped none)")
    assert losses.explained


def test_what_the_dcu_had_said_before_is_enough_where_it_accounts_for_all() -> None:
    losses = Losses()
    losses.add(((3, 3),), 1, noticed=10.0)
    losses.explain(Dcu(at=9.9, dropped=1).told)
    assert losses.why.startswith("1 images did not come (the DCU's stream says that it dropped 1)")


def test_while_ever_more_is_lost_it_is_said_of_what_was_lost_before_the_dcu_said_something() -> None:
    losses, dcu = Losses(), Dcu(at=10.2, dropped=2)
    for noticed in (10.0, 10.1, 10.3):
        losses.add((), 1, noticed)
    losses.explain(dcu.told)
    assert losses.why == "2 images did not come (the DCU's stream says that it dropped 2): nobody took them in time"
    assert not losses.explained
    dcu.at, dcu.dropped = 10.4, 3
    losses.explain(dcu.told)
    assert losses.why.startswith("3 images did not come (the DCU's stream says that it dropped 3)")
    assert losses.explained


def test_an_early_end_says_how_far_it_came() -> None:
    assert end(4).reason == "the detector ended the series after 4 of 10 images; somebody ended it there?"
    assert end(4, end_came=False).reason.startswith("the detector has left the series after 4 of 10")
    assert end(4, expected=None).reason.startswith("the detector ended the series after 4 images")


def plan(mode: str = "ints", cable: str = "exts", most: int | None = 1000, **request: object) -> Plan:
    settings = EigerSettings.model_validate({"host": "dcu", "command_mode": mode, "cable_mode": cable})
    return plan_of(arm_request(**request), settings, most)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("modes", "request_", "expected"),
    [
        ({}, {"trigger_mode": "internal", "frames": 5, "triggers": 3}, ("ints", 15, 1, 1)),
        ({}, {"trigger_mode": "internal", "frames": 5, "triggers": None}, ("ints", 1000, 1, 1)),
        ({}, {"trigger_mode": "software", "frames": 5, "triggers": 3}, ("ints", 5, 3, 1)),
        ({}, {"trigger_mode": "software", "frames": 5, "triggers": None}, ("ints", 5, 1000, 1)),
        ({"mode": "inte"}, {"trigger_mode": "software", "frames": 5, "triggers": 3}, ("inte", 1, 15, 5)),
        ({"mode": "inte"}, {"trigger_mode": "internal", "frames": 5}, ("inte", 1, 5, 5)),
        ({}, {"trigger_mode": "external", "frames": 5, "triggers": 3}, ("exts", 5, 3, 0)),
        ({"cable": "exte"}, {"trigger_mode": "external", "frames": 5, "triggers": 3}, ("exte", 1, 15, 0)),
        ({"cable": "extg"}, {"trigger_mode": "external", "frames": 5, "triggers": 3}, ("extg", 15, 1, 0)),
        ({"cable": "extg"}, {"trigger_mode": "external", "triggers": None}, ("extg", 1000, 1, 0)),
    ],
)
def test_a_request_becomes_images_and_triggers_of_the_detector(
    modes: dict[str, str], request_: dict[str, object], expected: tuple[str, int, int, int]
) -> None:
    made = plan(**modes, **request_)
    assert (made.mode, made.images, made.triggers, made.starts) == expected


def test_more_triggers_than_the_detector_takes_are_refused() -> None:
    with pytest.raises(BackendError, match="triggers: got 1001 for ints, expected at most 1000, which the detector"):
        plan(trigger_mode="software", triggers=1001)
