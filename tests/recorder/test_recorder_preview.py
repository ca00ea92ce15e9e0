"""Small numbers of a frame."""

import threading

import numpy as np
import pytest
import zmq
from recorder_kit import IMAGE, image
from stins_recorder.preview import PreviewReader, summary
from stins_recorder.preview_feed import PreviewFeed

from stins import Data, Packet, Part, StoreFrame, encode
from stins.control import Preview


def test_total_maximum_and_mean_of_all_parts() -> None:
    parts = [np.full((2, 2), 60000, "<u2"), np.array([1, 2], "<u2")]
    assert summary(7, 3, parts) == Preview(frame_number=7, row=3, total=240003.0, maximum=60000.0, mean=240003 / 6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_pixels_that_are_no_number_do_not_count(bad: float) -> None:
    assert summary(0, 0, [np.array([1.0, bad, 3.0])]) == Preview(frame_number=0, row=0, total=4, maximum=3, mean=2)
    assert summary(0, 0, [np.array([bad])]) == Preview(frame_number=0, row=0, total=0, maximum=0, mean=0)


def store(number: int, content: bytes, part: Part = IMAGE) -> StoreFrame:
    header = Data(version=1, message_id=number, frame_number=number, data=(part,))
    return StoreFrame(Packet(header, (content,)), header, number, 1)


def test_a_frame_offered_is_reported_once_and_a_broken_one_not_at_all() -> None:
    reported: list[tuple[str | None, Preview]] = []
    changed = threading.Event()

    def report(series_id: str | None, preview: Preview) -> None:
        reported.append((series_id, preview))
        changed.set()

    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    reader = PreviewReader(report)
    feed = PreviewFeed(reader.endpoint, context)
    try:
        feed.offer(store(1, b"short"), "s", 0.0)
        frame = store(2, image(2).tobytes())
        for now in range(1, 101):
            feed.offer(frame, "s", now)
            if changed.wait(0.05):
                break
        assert [(series_id, preview.frame_number) for series_id, preview in reported] == [("s", 2)]
        assert reported[0][1].total == float(image(2).sum())
    finally:
        feed.close()
        reader.close()
        reader.close()
        context.term()


def test_large_frames_are_offered_less_often_and_the_last_one_of_a_pause_always() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    taker = context.socket(zmq.PULL)
    feed = PreviewFeed(f"tcp://127.0.0.1:{taker.bind_to_random_port('tcp://127.0.0.1')}", context)
    try:
        # What counts is the pixels, however small they are on their way.
        large = Part(name="image", shape=(2048, 2048), dtype="uint16", compression="bslz4")
        first, second, third = (store(number, bytes(100), large) for number in range(3))
        assert feed.offer(first, "s", 10.0) == 0
        assert feed.offer(first, "s", 10.01) == 0  # it has gone
        wait_s = feed.offer(second, "s", 10.02)
        assert wait_s == pytest.approx(0.064, abs=0.001)
        assert feed.offer(third, "s", 10.02 + wait_s) == 0
        taken = []
        while len(taken) < 2 and taker.poll(5000):
            taken.append(taker.recv_multipart()[0])
        assert taken == [b'[0,"s"]', b'[2,"s"]']
    finally:
        feed.close()
        taker.close()
        context.term()


def test_nobody_who_takes_frames_is_no_reason_to_wait() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    feed = PreviewFeed("ipc:///nonexistent/preview", context)
    for number in range(20):
        feed.offer(store(number, encode(store(number, b"").header)), None, float(number))
    feed.close()
    feed.close()
    context.term()
