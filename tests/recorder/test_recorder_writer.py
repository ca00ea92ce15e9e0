"""The hot path: what the writer takes from the socket goes to the file as it is."""

import socket
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import h5py
import numpy as np
import psutil
import pytest
import zmq
from cable import Cable
from recorder_kit import DATA, Stream, balanced, image, wait_until
from stins_recorder.config import RecorderConfig
from stins_recorder.link import Answer, Begin, Line, Link, Order, WriterStatus
from stins_recorder.recording.journal import Journal
from stins_recorder.recording.records import RECORDS
from stins_recorder.writer.writer import Writer

from stins import Part
from stins.control import SeriesState, SeriesStatus
from stins.transport import Publisher

FRAME = Part(name="image", shape=(2048, 2048), dtype="uint16")
FRAME_BYTES = 8 << 20


class Loop:
    """A writer in this process, driven by hand."""

    def __init__(self, root: Path, publisher: Publisher | None = None, **config: Any) -> None:
        root.mkdir()
        self.publisher = publisher or Publisher("tcp://127.0.0.1:0")
        self.stream = Stream(self._send)
        ours, theirs = socket.socketpair()
        self.link = Link(ours)
        config = {"roots": [root], "sources": [self.publisher.endpoint]} | config
        self.writer = Writer(RecorderConfig(**config).for_writer(), Link(theirs), "ipc://@stins-test")

    def _send(self, parts: list[bytes]) -> None:
        assert self.publisher.send(parts, 10)

    def take(self, messages: int) -> None:
        """Takes so many messages, as `run` does."""
        for _ in range(messages):
            wait_until(lambda: self.writer._receiver.socket.poll(10))
            parts = self.writer._receiver.receive()
            assert parts is not None
            self.writer._take(parts, 0.0)

    def close(self) -> None:
        self.publisher.close(0)
        self.writer._end()
        self.writer.close()
        self.link.close()


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    loop = Loop(tmp_path / "data")
    yield loop
    loop.close()


def test_a_payload_goes_from_the_socket_to_the_file_uncopied(loop: Loop) -> None:
    content = image(1, FRAME.shape).tobytes()
    loop.stream.start(data=(FRAME,))
    loop.stream.frame(0, content, data=(FRAME,))
    loop.take(2)
    before = psutil.Process().memory_info().rss
    tracemalloc.start()
    for number in range(1, 21):
        loop.stream.frame(number, content, data=(FRAME,))
        loop.take(1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # 160 MiB went through: Python allocated not even a twentieth of one frame; libzmq and HDF5 kept a few frames.
    assert peak < FRAME_BYTES // 20
    assert psutil.Process().memory_info().rss - before < 8 * FRAME_BYTES
    loop.stream.end()
    loop.take(1)
    series = loop.writer._recording.series
    assert series is not None
    with h5py.File(series.file) as file:
        np.testing.assert_array_equal(file[DATA][20], image(1, FRAME.shape))


def test_hdf5_is_given_the_memory_that_the_socket_received(loop: Loop) -> None:
    loop.stream.start(data=(FRAME,))
    loop.stream.frame(0, image(1, FRAME.shape).tobytes(), data=(FRAME,))
    loop.take(1)
    wait_until(lambda: loop.writer._receiver.socket.poll(10))
    parts = loop.writer._receiver.receive()
    assert parts is not None
    written: list[object] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        # What `write_direct_chunk(place, content)` was called with last: the first row goes there always.
        if event == "return" and frame.f_code.co_qualname == "FrameDatasets.write":
            written.append(frame.f_locals["content"])

    sys.setprofile(note)
    try:
        loop.writer._take(parts, 0.0)
    finally:
        sys.setprofile(None)
    (content,) = written
    assert content is parts[1]
    assert isinstance(content, memoryview)
    assert isinstance(content.obj, zmq.Frame)


def test_a_message_that_is_too_large_is_lost_and_the_series_goes_on(tmp_path: Path) -> None:
    loop = Loop(tmp_path / "data", max_message_bytes=1 << 20, order={"gap_timeout_s": 0.1})
    thread = threading.Thread(target=loop.writer.run, name="writer")
    thread.start()
    try:
        loop.stream.start(frames_expected=3)
        loop.stream.frame(0)
        loop.stream.frame(1, bytes(FRAME_BYTES), data=(FRAME,))
        # What is sent before the connection is made again goes the way of the large one.
        receiver = loop.writer._receiver
        wait_until(lambda: receiver.connections == 0)
        wait_until(lambda: receiver.connections == 1)
        loop.stream.frame(2)
        loop.stream.end()
        wait_until(lambda: (s := loop.writer._recording.series) and s.state is not SeriesState.OPEN)
    finally:
        loop.writer.stop()
        thread.join(10)
        loop.close()
    series = loop.writer._recording.series
    assert series is not None
    assert (balanced(series).state, series.missing_frames) == (SeriesState.INCOMPLETE, ((1, 1),))


def test_a_writer_that_is_behind_reports_all_the_while_and_hears_an_order(tmp_path: Path) -> None:
    # A message with the numbers of 20,000 frames takes some 15 ms: the 300 that wait take seconds.
    with closing(Loop(tmp_path / "data", max_message_bytes=1 << 20)) as loop:
        loop.stream.start(data=())
        for number in range(300):
            loop.stream.frame(20_000 * number, data=(), detector_specific={"n": [7] * 20_000})
        loop.stream.end()
        rows = []
        for _ in range(2):
            wait_until(lambda: loop.writer._receiver.socket.poll(10))
            loop.writer._turn()
            rows += [line.series.rows for line in loop.link.receive() if isinstance(line, WriterStatus) and line.series]
        # 3 s of silence are what the supervisor takes for hanging; 128 messages, taken in one turn, would be 2 s here.
        turns = [later - earlier for earlier, later in pairwise(sorted({0, *rows}))]
        assert turns
        assert max(turns) < 60 * 20_000

        loop.link.send(Order(number=1, what="stop"))
        lines: list[Line] = []

        def answered() -> bool:
            loop.writer._turn()
            lines.extend(loop.link.receive())
            return any(isinstance(line, Answer) for line in lines)

        wait_until(answered)
        series = next(line.series for line in reversed(lines) if isinstance(line, WriterStatus))
        assert series is not None
        assert (series.state, series.reason) == (SeriesState.INCOMPLETE, "stopped on request")


def test_a_point_of_the_journal_that_was_left_out_is_made_up_for_when_nothing_more_comes(loop: Loop) -> None:
    safe = loop.writer._recording.safe
    loop.stream.start()
    loop.stream.frame(0)
    loop.take(2)
    safe._due = time.monotonic() + 0.3  # as after a long one
    loop.writer._turn()
    assert (safe.behind, safe.settled) == (True, (None, None))

    def made_up() -> bool:
        loop.writer._turn()
        return not safe.behind

    wait_until(made_up)
    assert safe.settled == ("s1", 1)


class Replaying(Loop):
    """With acks, a sender that has heard of them, and a stream that can be cut."""

    def __init__(self, root: Path, **config: Any) -> None:
        any_port = "tcp://127.0.0.1:0"
        publisher = Publisher(any_port, acks=any_port)
        self.cable = Cable(publisher.endpoint)
        self.cable.__enter__()
        super().__init__(
            root, publisher, sources=[self.cable.endpoint], acks=[publisher.acks], sender_gone_s=0.05, **config
        )
        self.turn_until(self._heard)

    def _heard(self) -> bool:
        self.writer._ack(time.monotonic())
        return self.publisher._acking()

    def turn_until(self, condition: Callable[[], object]) -> None:
        """Lets sender and writer do what they do until it is true."""

        def turned() -> object:
            self.publisher.service()
            self.writer._turn()
            return condition()

        wait_until(turned)

    @property
    def series(self) -> SeriesStatus:
        assert self.writer._recording.series is not None
        return self.writer._recording.series

    def break_connection(self) -> None:
        """The stream's; nobody has gone."""
        self.cable.cut()
        self.turn_until(lambda: self.writer._receiver.alone_for() > 0)

    def mend_connection(self) -> None:
        self.cable.mend()
        self.turn_until(lambda: self.writer._receiver.connections)

    def close(self) -> None:
        super().close()
        self.cable.__exit__()


@pytest.fixture
def replaying(tmp_path: Path) -> Iterator[Callable[..., Replaying]]:
    """Makes one that is closed with the test."""
    with ExitStack() as stack:

        def make(**config: Any) -> Replaying:
            loop = Replaying(tmp_path / "data", **config)
            stack.callback(loop.close)
            return loop

        yield make


def test_a_connection_that_breaks_for_longer_than_a_sender_may_be_gone_costs_no_frame_with_acks(
    replaying: Callable[..., Replaying],
) -> None:
    loop = replaying()
    stream = loop.stream
    stream.start(frames_expected=6)
    stream.frames(0, 1, 2)
    loop.turn_until(lambda: loop.writer._recording.series and loop.series.rows == 3)
    loop.break_connection()
    stream.frames(3, 4)
    loop.turn_until(lambda: loop.writer._receiver.alone_for() > 0.2)
    loop.mend_connection()
    stream.frames(5)
    stream.end()
    loop.turn_until(lambda: loop.series.state is not SeriesState.OPEN)
    assert (balanced(loop.series).state, loop.series.written) == (SeriesState.COMPLETE, 6)


def test_what_comes_of_a_series_that_was_ended_without_its_sender_is_not_acked(
    replaying: Callable[..., Replaying],
) -> None:
    loop = replaying(replay_timeout_s=0.05)
    stream, machine = loop.stream, loop.writer._machine
    stream.start(frames_expected=6)
    stream.frames(0, 1, 2)
    loop.turn_until(lambda: loop.writer._recording.series and not loop.publisher.unacked)
    loop.break_connection()
    loop.turn_until(lambda: loop.series.state is SeriesState.INCOMPLETE)
    loop.mend_connection()
    stream.frames(3, 4)
    loop.turn_until(lambda: machine.strays == 2)
    loop.turn_until(lambda: loop.writer._kept == machine.settled)
    heard = loop.publisher._listener
    assert heard is not None
    before = heard.heard
    loop.writer._ack(time.monotonic())
    loop.turn_until(lambda: heard.heard > before)
    assert loop.publisher.unacked == 2
    stream.end()
    stream.series("next.h5", range(2), id="next", frames_expected=2)
    loop.turn_until(lambda: loop.series.series_id == "next" and loop.series.state is SeriesState.COMPLETE)
    loop.turn_until(lambda: not loop.publisher.unacked)


def test_a_second_recorder_of_a_name_says_so_without_a_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = (Link(end) for end in socket.socketpair())
    config = RecorderConfig(name="dup", roots=[tmp_path], sources=["tcp://127.0.0.1:1"])
    begin = Begin(config=config.for_writer(), preview="")
    with closing(Journal(tmp_path, "dup", RECORDS)), closing(ours), closing(theirs):
        assert Writer.record(begin, theirs, lambda _: None) == 1
        (told,) = ours.receive()
    assert isinstance(told, WriterStatus)
    assert told.reason.startswith("a recorder called 'dup' is writing below")
    assert [(record.getMessage(), record.exc_info) for record in caplog.records] == [
        (f"the writer ends: {told.reason}", None)
    ]
