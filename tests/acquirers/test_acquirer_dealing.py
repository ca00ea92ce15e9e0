"""A series dealt to several receivers is, put together again, the series that one receiver gets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stins_acquirers.backend import Ending, Frame
from stins_acquirers.dealing import Dealer
from stins_acquirers.outbox import Outbox

from stins import (
    Data,
    Decoder,
    DiscardFrame,
    EndSeries,
    Packet,
    SeriesHeader,
    SeriesInfo,
    SeriesReceiver,
    SeriesResult,
    Share,
    StinsError,
    StoreFrame,
)
from stins.messages import Header

HEADER = SeriesHeader(series=SeriesInfo(id="s1", filename="a/scan.h5", frames_expected=7))
#: What the source does, and what becomes of the message of a frame.
ACTS = st.lists(st.tuples(st.sampled_from(["frame"] * 5 + ["discard", "source lost"]), st.just(1)), max_size=30)
RETAKES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["frame", "frame", "discard"]), st.just(1)),
        st.tuples(st.just("rewind"), st.integers(1, 6)),
    ),
    max_size=30,
)
FATES = st.lists(st.sampled_from(["comes"] * 5 + ["lost", "no room"]), min_size=30, max_size=30)
ROOM = st.lists(st.sampled_from(["comes"] * 4 + ["no room"]), min_size=30, max_size=30)


@dataclass
class End:
    """A link with its receiver at once behind it; `fate` is what becomes of the next data message."""

    fate: str = "comes"
    takes: bool = True
    headers: list[Any] = field(default_factory=list)
    stored: dict[int, tuple[int, int]] = field(default_factory=dict)  # row: frame number, serial
    result: SeriesResult | None = None

    def __post_init__(self) -> None:
        self._receiver, self._decoder = SeriesReceiver(), Decoder(strict=True)

    def send(self, parts: Sequence[Any], timeout_s: float = 0.0, header: Header | None = None) -> bool:
        packet = self._decoder.decode(parts)
        fate = self.fate if isinstance(packet.header, Data) else "comes" if self.takes else "no room"
        if fate == "comes":
            self.headers.append(packet.header)
            self._receive(packet)
        return fate != "no room"

    def _receive(self, packet: Packet) -> None:
        for done in [*self._receiver.receive(packet, 0.0), *self._receiver.tick(10.0)]:
            if isinstance(done, StoreFrame):
                if done.rewound:
                    self.stored = {row: frame for row, frame in self.stored.items() if row < done.row}
                serial = (done.header.detector_specific or {}).get("serial", 0)
                self.stored[done.row] = (done.header.frame_number, serial)
            elif isinstance(done, DiscardFrame) and done.rewound:
                self.stored = {r: (n, s) for r, (n, s) in self.stored.items() if n < done.header.frame_number}
            elif isinstance(done, EndSeries):
                self.result = done.result
                self.stored = {row: frame for row, frame in self.stored.items() if row < done.result.rows}


def outbox(end: End) -> Outbox:
    return Outbox("det", end, "inproc://test", 1.0)


def dealt(count: int) -> tuple[Dealer, list[End]]:
    ends = [End() for _ in range(count)]
    return Dealer("det", [outbox(end) for end in ends]), ends


def play(sender: Outbox | Dealer, ends: Sequence[End], acts: Sequence[tuple[str, int]], fates: Sequence[str]) -> None:
    """One series, in which every frame has a serial of its own."""
    sender.open(SeriesHeader(series=SeriesInfo(id="s1")), ())
    number, lost = 0, []
    for serial, ((act, by), fate) in enumerate(zip(acts, fates, strict=False)):
        if act == "rewind":
            number = max(0, number - by)
            sender.rewind(number)
            continue
        if act == "source lost":
            lost.append((number, number))
        else:
            frame = Frame(
                number=number,
                discard=act == "discard",
                frames_dropped=tuple(lost),
                detector_specific={"serial": serial},
            )
            lost = []
            for end in ends:
                end.fate = fate
            if not sender.offer(frame):
                sender.drop(frame)
        number += 1
    sender.close(Ending(frames_dropped=tuple(lost)))


def numbers(result: SeriesResult) -> set[int]:
    """The missing frames, one by one."""
    step = result.share.count if result.share else 1
    return {number for first, last in result.missing for number in range(first, last + 1, step)}


def account(ends: Sequence[End]) -> dict[str, Any]:
    """What the receivers have of the series, together."""
    results = [end.result for end in ends if end.result is not None]
    assert len(results) == len(ends)
    (total,) = {end.headers[-1].frames_total for end in ends}
    missing = set().union(*map(numbers, results))
    frames = dict(sorted(frame for end in ends for frame in end.stored.values()))
    return {
        # What a row holds of an earlier take of a missing frame, or of one behind the end, does not count.
        "frames": {number: serial for number, serial in frames.items() if number not in missing and number < total},
        "missing": missing,
        "counts": [
            sum(getattr(result, key) for result in results)
            for key in ("received", "stored", "discarded", "retaken", "missing_count")
        ],
        "complete": all(result.outcome.value == "complete" for result in results),
    }


def both(acts: Sequence[tuple[str, int]], fates: Sequence[str], count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    one, (dealer, ends) = End(), dealt(count)
    play(outbox(one), [one], acts, fates)
    play(dealer, ends, acts, fates)
    return account(ends), account([one])


@given(ACTS, FATES, st.integers(2, 4))
def test_whatever_is_lost_the_parts_are_the_whole(acts: Any, fates: Any, count: int) -> None:
    parts, whole = both(acts, fates, count)
    assert parts == whole


@given(RETAKES, ROOM, st.integers(2, 4))
def test_frames_taken_again_are_taken_again_in_every_part(acts: Any, fates: Any, count: int) -> None:
    parts, whole = both(acts, fates, count)
    assert parts == whole


def test_each_recorder_is_told_its_share_its_file_and_its_number_of_frames() -> None:
    dealer, ends = dealt(3)
    dealer.open(HEADER, ())
    series = [end.headers[0].series for end in ends]
    assert [(s.id, s.filename, s.frames_expected, s.share) for s in series] == [
        ("s1", "a/scan_part0.h5", 3, Share(index=0, count=3)),
        ("s1", "a/scan_part1.h5", 2, Share(index=1, count=3)),
        ("s1", "a/scan_part2.h5", 2, Share(index=2, count=3)),
    ]


def test_a_run_of_dropped_frames_is_one_range_in_each_stream() -> None:
    dealer, ends = dealt(2)
    dealer.open(HEADER, ())
    for end in ends:
        end.fate = "no room"
    for number in range(1000):
        dealer.drop(Frame(number=number))
    dealer.close(Ending())
    assert [end.headers[-1].frames_dropped for end in ends] == [((0, 998),), ((1, 999),)]
    assert [end.headers[-1].frames_total for end in ends] == [1000, 1000]
    assert (dealer.dropped, dealer.not_given) == (1000, 0)


def test_a_recorder_without_room_holds_up_only_its_own_frames() -> None:
    dealer, ends = dealt(2)
    dealer.open(HEADER, ())
    ends[1].fate = "no room"
    stuck = Frame(number=1)
    assert dealer.offer(Frame(number=0))
    assert not dealer.offer(stuck)
    dealer.drop(stuck)
    assert dealer.offer(Frame(number=2))
    assert (dealer.sent, dealer.dropped, dealer.next_frame) == (2, 1, 3)


def test_what_the_source_did_not_give_is_counted_apart_from_what_found_no_room() -> None:
    dealer, _ = dealt(2)
    dealer.open(HEADER, ())
    dealer.drop(Frame(number=0))
    assert dealer.offer(Frame(number=4, frames_dropped=((1, 3),)))
    assert (dealer.dropped, dealer.not_given) == (4, 3)


def test_a_message_with_several_frames_is_refused_by_name() -> None:
    dealer, _ = dealt(2)
    dealer.open(HEADER, ())
    with pytest.raises(StinsError, match=r"frame 0: got 3 frames in one message.*2 recorders.*stream.recorders"):
        dealer.offer(Frame(number=0, timestamp=(0.0, 0.1, 0.2), count=3))


def test_a_series_that_one_recorder_does_not_open_is_open_in_none() -> None:
    dealer, ends = dealt(3)
    ends[1].takes = False
    with pytest.raises(StinsError, match="no recorder took series-start"):
        dealer.open(HEADER, ())
    assert ends[0].result is not None
    assert ends[0].result.reasons[0].startswith("failed by the sender")
    ends[1].takes = True
    dealer.open(HEADER, ())
    assert [type(end.headers[-1]).__name__ for end in ends] == ["SeriesStart"] * 3


def test_an_end_that_one_recorder_does_not_take_reaches_the_others() -> None:
    dealer, ends = dealt(3)
    dealer.open(HEADER, ())
    ends[0].takes = False
    with pytest.raises(StinsError, match="no recorder took series-end"):
        dealer.close(Ending())
    assert [end.result is not None for end in ends] == [False, True, True]
