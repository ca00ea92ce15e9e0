"""Sets of frame numbers kept as ranges, against plain sets."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from stins import Spans

RANGES = st.tuples(st.integers(0, 30), st.integers(0, 30))
STEPS = st.lists(st.tuples(st.sampled_from(["add", "remove"]), RANGES), max_size=20)


@given(STEPS, RANGES)
def test_spans_hold_what_a_plain_set_of_the_same_steps_holds(steps, asked):
    spans, plain = Spans(), set()
    for name, (first, last) in steps:
        getattr(spans, name)(first, last)
        plain = plain | set(range(first, last + 1)) if name == "add" else plain - set(range(first, last + 1))

    assert {n for first, last in spans for n in range(first, last + 1)} == plain
    assert spans.count == len(plain)
    assert [n in spans for n in range(32)] == [n in plain for n in range(32)]
    assert spans.count_between(*asked) == len(plain & set(range(asked[0], asked[1] + 1)))


@given(STEPS)
def test_ranges_stay_sorted_and_never_touch(steps):
    spans = Spans()
    for name, (first, last) in steps:
        getattr(spans, name)(first, last)

    ranges = spans.as_tuple()
    assert all(first <= last for first, last in ranges)
    assert all(left[1] + 1 < right[0] for left, right in pairwise(ranges))


def test_ranges_that_touch_become_one():
    assert Spans([(5, 9), (0, 4)]) == Spans([(0, 9)])


def test_a_million_numbers_are_one_range():
    spans = Spans([(0, 999_999)])

    assert (len(spans), spans.count) == (1, 1_000_000)


def test_as_tuple_stays_as_it_is():
    spans = Spans([(0, 1)])
    before = spans.as_tuple()
    spans.add(7, 8)

    assert before == ((0, 1),)
    assert repr(spans) == "Spans([(0, 1), (7, 8)])"
