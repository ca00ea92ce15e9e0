"""Each rule for streams, broken on purpose, through real sockets."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zmq
from stins_recorder.check.listen import check_stream
from stins_recorder.check.stream_rules import STREAM_RULES

from stins import Part, SeriesHeader, SeriesInfo, SeriesSender, Share, encode
from stins.findings import Finding, Report, Severity
from stins.transport import LivePublisher, Publisher, TransportError

PART = (Part(name="image", shape=(4, 6), dtype="uint16"),)
PIXELS = bytes(48)
Message = list[bytes]
Listen = Callable[..., Report]


class Stream:
    """The messages of a series, in a list that a test may disturb."""

    def __init__(self, frames: int = 3, **info: object) -> None:
        self.sender = SeriesSender()
        series = SeriesInfo(**{"id": "s1", "source": "sim"} | info)
        self.messages: list[Message] = [[encode(self.sender.start(SeriesHeader(series=series, data=PART)))]]
        for number in range(frames):
            self.frame(number)

    def frame(self, number: int, payload: bytes = PIXELS, part: Sequence[Part] = PART, **keys: object) -> None:
        self.messages.append([encode(self.sender.data(number, data=tuple(part), **keys)), payload])

    def end(self, **keys: object) -> "Stream":
        self.messages.append([encode(self.sender.end(**keys))])
        return self


@pytest.fixture
def listen() -> Listen:
    """What the checker says of a list of messages that a PUSH socket sends."""

    def run(stream: Stream, seconds: float = 20.0) -> Report:
        publisher = Publisher("tcp://127.0.0.1:0")
        sender = threading.Thread(target=lambda: [publisher.send(m, timeout_s=20.0) for m in stream.messages])
        sender.start()
        try:
            return check_stream(publisher.endpoint, pull=True, seconds=seconds, watch=lambda count: None)
        finally:
            sender.join(30)
            publisher.close()

    return run


def names(report: Report) -> list[str]:
    return [finding.rule for finding in report.findings.listed]


def test_a_healthy_series_breaks_no_rule(listen: Listen) -> None:
    report = listen(Stream().end())
    assert report.findings.listed == []
    assert (report.counts["messages"], report.counts["frames"]) == (5, 3)


def test_a_message_that_is_no_stins_is_refused_with_key_got_and_expected(listen: Listen) -> None:
    stream = Stream()
    stream.messages[2][1] = bytes(7)
    found = listen(stream.end()).findings.listed[0]
    expected = "48 for shape [4, 6] of uint16"
    assert found == Finding("stins.refused", Severity.ERROR, "message 2, data[0]", "7 bytes", expected)


def test_every_refused_message_is_a_finding(listen: Listen) -> None:
    stream = Stream()
    stream.messages[1:1] = [[b"no JSON"], [b"{}"]]
    assert names(listen(stream.end())).count("stins.refused") == 2


def test_an_unknown_key_is_found_once_by_its_name(listen: Listen) -> None:
    stream = Stream()
    for message in stream.messages[1:]:
        message[0] = message[0].replace(b'"frame_number"', b'"temperature":20,"frame_number"')
    (only,) = listen(stream.end()).findings.listed
    assert (only.rule, only.got) == ("stins.unknown-key", "data.temperature")


def test_the_wrong_header_of_a_compressed_part_is_found(listen: Listen) -> None:
    stream = Stream(0)
    part = [Part(name="image", shape=(4, 6), dtype="uint16", compression="bslz4")]
    stream.frame(0, (49).to_bytes(8, "big") + (8192).to_bytes(4, "big") + b"content", part)
    assert "stins.chunk-header" in names(listen(stream.end()))


def test_frames_that_look_different_from_what_was_announced_are_found(listen: Listen) -> None:
    stream = Stream(0)
    stream.frame(0, bytes(8), [Part(name="image", shape=(2, 2), dtype="uint16")])
    (only,) = listen(stream.end()).findings.listed
    assert (only.rule, only.got) == ("stins.layout", "data [2, 2] <u2")


def test_frames_that_look_different_from_the_first_are_found(listen: Listen) -> None:
    stream = Stream(1)
    stream.frame(1, bytes(8), [Part(name="image", shape=(2, 2), dtype="uint16")])
    assert names(listen(stream.end())) == ["stins.layout"]


def test_a_lost_message_is_a_gap_a_missing_frame_and_an_incomplete_series(listen: Listen) -> None:
    stream = Stream()
    del stream.messages[2]
    report = listen(stream.end())
    assert names(report) == ["stins.missing", "stins.incomplete", "stins.gap"]
    assert [f.got for f in report.findings.listed if f.rule == "stins.missing"] == ["nothing of frame 1"]


def test_in_a_share_only_its_own_frames_can_be_missing(listen: Listen) -> None:
    stream = Stream(0, share=Share(index=1, count=3))
    for number in (1, 4, 7, 10):
        stream.frame(number)
    stream.sender.drop(11, 14)
    stream.frame(16)
    del stream.messages[2:4]
    found = listen(stream.end(frames_total=17)).findings.listed
    assert [f.got for f in found if f.rule in {"stins.missing", "stins.dropped"}] == [
        "frame 13 dropped by the sender",
        "nothing of frames 4 to 7",
    ]


def test_a_message_that_comes_twice_is_found(listen: Listen) -> None:
    stream = Stream()
    stream.messages.insert(2, stream.messages[1])
    assert names(listen(stream.end())) == ["stins.duplicate"]


def test_messages_out_of_order_are_found(listen: Listen) -> None:
    stream = Stream()
    stream.messages[1:3] = reversed(stream.messages[1:3])
    assert names(listen(stream.end())) == ["stins.disorder"]


def test_a_sender_that_restarts_leaves_a_series_without_end(listen: Listen) -> None:
    stream = Stream()
    stream.messages += Stream(0, id="s2").end().messages
    assert names(listen(stream)) == ["stins.restarted", "stins.unended"]


def test_frames_that_the_sender_dropped_are_a_warning_not_an_error(listen: Listen) -> None:
    stream = Stream(1)
    stream.sender.drop(1, 2)
    stream.frame(3)
    report = listen(stream.end())
    assert names(report) == ["stins.dropped", "stins.incomplete"]
    assert report.findings.count(Severity.ERROR) == 0


def test_a_frame_number_that_comes_twice_is_found(listen: Listen) -> None:
    stream = Stream(2)
    stream.messages.append([stream.messages[1][0].replace(b'"message_id":1', b'"message_id":3'), PIXELS])
    stream.messages.append([encode(stream.sender.end()).replace(b'"message_id":3', b'"message_id":4')])
    assert "stins.repeated" in names(listen(stream))


def test_a_series_that_was_aborted_is_a_warning_with_its_reason(listen: Listen) -> None:
    report = listen(Stream().end(status="aborted", reason="no beam"))
    assert names(report) == ["stins.aborted", "stins.incomplete"]
    assert report.findings.listed[0].got == "aborted: no beam"


def test_a_series_that_goes_on_is_noted(listen: Listen) -> None:
    assert names(listen(Stream(), seconds=1.0)) == ["stins.open"]


def test_messages_before_the_first_start_are_noted_and_the_next_series_is_checked(listen: Listen) -> None:
    stream = Stream()
    stream.messages = stream.messages[2:]
    stream.end()
    stream.messages += Stream(1, id="s2").end().messages
    report = listen(stream)
    assert (names(report), report.counts["frames"]) == (["stins.joined-late"], 1)


def test_a_stream_without_any_start_says_that_nothing_could_be_checked(listen: Listen) -> None:
    stream = Stream()
    stream.messages = stream.messages[1:]
    assert names(listen(stream, seconds=1.0)) == ["stins.joined-late", "stins.no-series"]


def test_a_silent_stream_is_an_error(listen: Listen) -> None:
    stream = Stream()
    stream.messages.clear()
    assert names(listen(stream, seconds=0.3)) == ["stins.silent"]


def test_a_recorders_live_stream_is_checked_without_taking_anything_from_it() -> None:
    with zmq.Context() as context, ThreadPoolExecutor(1) as pool:
        live = LivePublisher("tcp://127.0.0.1:0", budget_bytes=1 << 20, max_message_bytes=1 << 16, context=context)
        future = pool.submit(check_stream, live.endpoint, pull=False, seconds=20.0, watch=lambda count: None)
        while not live.subscribers and not future.done():
            live.watch_subscribers()
        for message in Stream().end().messages:
            live.send(message)
        report = future.result(30)
        live.close()
    assert names(report) == []
    assert report.counts["frames"] == 3


def test_an_address_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(TransportError, match="nowhere"):
        check_stream("nowhere://1", pull=False, seconds=1.0, watch=lambda count: None)


def test_every_rule_for_streams_is_broken_by_a_test() -> None:
    here = Path(__file__).read_text()
    assert [rule.id for rule in STREAM_RULES if f'"{rule.id}"' not in here] == []
