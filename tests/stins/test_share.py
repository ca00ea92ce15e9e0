"""A stream that has only a share of the frames: how they are counted, sent and received."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stins import (
    Decoder,
    EndSeries,
    MessageError,
    Outcome,
    Packet,
    Report,
    SeriesHeader,
    SeriesInfo,
    SeriesReceiver,
    SeriesResult,
    SeriesSender,
    Share,
    StoreFrame,
    encode,
)
from stins.share import frames_in, part_name, whole_name

SHARES = st.integers(1, 5).flatmap(
    lambda count: st.builds(Share, index=st.integers(0, count - 1), count=st.just(count))
)
ONE_OF_THREE = Share(index=1, count=3)


@given(SHARES, st.integers(0, 100), st.integers(0, 100))
def test_a_range_of_frame_numbers_is_counted_inside_as_its_own_frames_one_by_one(share, first, last):
    own = [number for number in range(first, last + 1) if number % share.count == share.index]

    inside = share.inside([(first, last)])

    assert [share.frame(n) for a, b in inside for n in range(a, b + 1)] == own
    assert share.before(first) == sum(share.holds(number) for number in range(first))
    assert frames_in(share.outside(inside), share) == len(own)


def test_files_are_named_by_their_share_and_back():
    assert part_name("proposal/scan_1.h5", 2) == "proposal/scan_1_part2.h5"
    assert part_name("DATA:scan", 0) == "DATA:scan_part0"
    assert whole_name("/data/scan_1_part12.h5") == "/data/scan_1.h5"
    assert [whole_name(name) for name in ("scan.h5", "_part0.h5", "scan_parted.h5")] == [
        "scan.h5", "_part0.h5", "scan_parted.h5",
    ]  # fmt: skip


def start_with(share: object) -> bytes:
    start = {"version": 1, "message_type": "series-start", "message_id": 0, "series": {"share": share}}
    return msgspec.json.encode(start)


@pytest.mark.parametrize(
    ("share", "error"),
    [
        ({"index": 3, "count": 3}, "series.share: got index 3, expected less than count 3"),
        ({"index": 0, "count": 0}, "series.share.count"),
        ({"index": -1, "count": 2}, "series.share.index"),
        ({"index": 0}, "series.share"),
    ],
)
def test_a_share_that_cannot_be_is_refused_by_the_key(share, error):
    raw = msgspec.json.encode(
        {"version": 1, "message_type": "series-start", "message_id": 0, "series": {"share": share}}
    )
    with pytest.raises(MessageError, match=error):
        Decoder().decode([raw])


def test_an_unknown_key_in_a_share_is_kept_as_any_other():
    share = {"index": 0, "count": 2, "colour": "red"}
    raw = msgspec.json.encode(
        {"version": 1, "message_type": "series-start", "message_id": 0, "series": {"share": share}}
    )
    packet = Decoder().decode([raw])
    assert packet.header.series.share == Share(index=0, count=2)
    assert packet.header.detector_specific == {"series.share.colour": "red"}
    with pytest.raises(MessageError, match=r"series\.share\.colour"):
        Decoder(strict=True).decode([raw])


class Line:
    """A sender and a receiver of one share."""

    def __init__(self, share=ONE_OF_THREE, **series):
        self.sender, self.receiver = SeriesSender(), SeriesReceiver()
        self.rows, self.reports = {}, []
        self.result: SeriesResult | None = None
        self.give(self.sender.start(SeriesHeader(series=SeriesInfo(id="s", share=share, **series))))

    def give(self, message):
        decoded = Decoder(strict=True).decode([encode(message)])
        for done in [*self.receiver.receive(Packet(decoded.header), 0.0), *self.receiver.tick(10.0)]:
            if isinstance(done, StoreFrame):
                self.rows[done.row] = done.header.frame_number
            elif isinstance(done, EndSeries):
                self.result = done.result
            elif isinstance(done, Report):
                self.reports.append(done.text)

    def frames(self, *numbers):
        for number in numbers:
            self.give(self.sender.data(number))


def test_a_share_is_complete_without_the_frames_of_the_others():
    line = Line(frames_expected=3)
    line.frames(1, 4, 7)
    line.give(line.sender.end(frames_total=10))
    assert line.rows == {0: 1, 1: 4, 2: 7}
    assert (line.result.outcome, line.result.rows, line.result.frames_expected) == (Outcome.COMPLETE, 3, 3)
    assert line.result.share == ONE_OF_THREE


def test_missing_frames_are_told_by_their_numbers_in_ranges_of_the_share():
    line = Line()
    line.frames(1)
    line.sender.data(4)
    line.sender.data(7)
    line.frames(10)
    line.sender.data(13)
    line.give(line.sender.end(frames_total=17))
    assert (line.result.missing, line.result.missing_count) == (((4, 7), (13, 16)), 4)
    assert line.rows == {0: 1, 3: 10}


def test_dropped_frames_of_other_shares_are_not_declared():
    line = Line()
    line.sender.drop(0, 5)
    message = line.sender.data(7)
    assert message.frames_dropped == ((1, 4),)
    assert line.sender.frames_dropped == 2
    line.give(message)
    assert line.receiver.account().missing == ((1, 4),)


def test_what_goes_back_behind_the_end_of_the_series_was_taken_again():
    line = Line()
    line.frames(1, 4, 7)
    line.give(line.sender.end(frames_total=5))
    result = line.result
    assert (result.outcome, result.rows, result.stored, result.retaken) == (Outcome.COMPLETE, 2, 2, 1)


def test_a_drop_behind_the_end_of_the_series_is_forgotten():
    line = Line()
    line.frames(1)
    line.sender.drop(4, 4)
    end = line.sender.end(frames_total=3)
    assert not end.frames_dropped
    line.give(end)
    assert line.result.outcome is Outcome.COMPLETE


@pytest.mark.parametrize(("number", "values"), [(2, {}), (1, {"timestamp": (0.1, 0.2), "frames": 2})])
def test_a_message_that_is_not_of_the_share_is_refused_and_the_rest_goes_on(number, values):
    line = Line()
    line.give(line.sender.data(number, **values))
    line.frames(1, 4)
    line.give(line.sender.end(frames_total=5))
    assert line.rows == {0: 1, 1: 4}
    assert line.reports == [
        f"refused a message: frame {number} ({values.get('frames', 1)} of them): expected one frame, of share 1 of 3"
    ]
    assert (line.result.refused, line.result.missing) == (1, ())


def test_a_share_goes_on_from_its_checkpoint():
    line = Line()
    line.frames(1)
    line.sender.data(4)
    line.frames(7)
    start = SeriesSender().start(SeriesHeader(series=SeriesInfo(id="s", share=ONE_OF_THREE)))
    line.receiver = SeriesReceiver.resume(line.receiver.checkpoint(), start, 0.0)
    line.frames(10)
    line.give(line.sender.end(frames_total=11))
    assert (line.rows, line.result.missing) == ({0: 1, 2: 7, 3: 10}, ((4, 4),))
