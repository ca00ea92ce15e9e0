"""Small numbers of a frame."""

import threading
from collections.abc import Iterator

import h5py
import hdf5plugin
import numpy as np
import pytest
import zmq
from recorder_kit import IMAGE, SHAPE, image
from stins_recorder.pixels.frame_summary import SmallFrames, summary
from stins_recorder.pixels.masks import counted, counted_pixels, masks_of
from stins_recorder.supervisor.preview import PreviewReader
from stins_recorder.writer.preview_feed import PreviewFeed

from stins import Data, OpenSeries, Packet, Part, SeriesStart, StoreFrame, encode
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


def opening(*arrays: tuple[Part, bytes]) -> OpenSeries:
    """The start of a series with these arrays."""
    parts = (IMAGE, *(part for part, _ in arrays))
    return OpenSeries(SeriesStart(version=1, message_id=0, data=parts), tuple(content for _, content in arrays))


def mask(*marked: tuple[int, int], name: str = "pixel_mask", shape: tuple[int, int] = SHAPE) -> tuple[Part, bytes]:
    """A mask that marks these pixels."""
    values = np.zeros(shape, "<u4")
    for place in marked:
        values[place] = 1 << 4
    return Part(name=name, shape=shape, dtype="uint32"), values.tobytes()


FLATFIELD = (Part(name="flatfield", shape=SHAPE, dtype="float32"), np.ones(SHAPE, "<f4").tobytes())


class Line:
    """A feed and a reader, and what the reader says of frames."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.reported: list[tuple[str | None, Preview]] = []
        self._changed = threading.Condition()
        self.reader = PreviewReader(self._report)
        self.feed = PreviewFeed(self.reader.endpoint, self._context)
        self._now = 0.0

    def _report(self, series_id: str | None, preview: Preview) -> None:
        with self._changed:
            self.reported.append((series_id, preview))
            self._changed.notify_all()

    def look(self, frame: StoreFrame, series_id: str | None = "s", masks: Packet | None = None) -> Preview:
        """Offers the frame until its numbers are there."""
        before = len(self.reported)
        for _ in range(600):
            self._now += 1
            self.feed.offer(frame, series_id, self._now, masks)
            with self._changed:
                if self._changed.wait_for(lambda: len(self.reported) > before, 0.05):
                    return self.reported[-1][1]
        raise AssertionError("no preview within 30 s")

    def close(self) -> None:
        self.feed.close()
        self.reader.close()
        self.reader.close()
        self._context.term()


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.close()


def test_a_frame_offered_is_reported_once_and_a_broken_one_not_at_all(line: Line) -> None:
    line.feed.offer(store(1, b"short"), "s", 0.0)
    preview = line.look(store(2, image(2).tobytes()))
    assert [(series_id, preview.frame_number) for series_id, preview in line.reported] == [("s", 2)]
    assert preview.total == float(image(2).sum())


def frame(number: int, *hot: tuple[int, int]) -> StoreFrame:
    """A frame with flagged pixels, as a detector marks them."""
    values = image(number)
    for place in hot:
        values[place] = 65535
    return store(number, values.tobytes())


def test_masked_pixels_count_in_no_number_of_any_frame_of_their_series(line: Line) -> None:
    masks = masks_of(opening(FLATFIELD, mask((0, 0), (7, 11))))
    for number in (1, 2):
        unmasked = image(number).ravel()[1:-1]
        assert line.look(frame(number, (0, 0), (7, 11)), masks=masks) == Preview(
            frame_number=number, row=number, total=unmasked.sum(), maximum=unmasked.max(), mean=unmasked.mean()
        )


def test_a_mask_ends_with_its_series(line: Line) -> None:
    line.look(frame(1), "s", masks_of(opening(mask((0, 0)))))
    # A series needs no id, and two of them may follow each other.
    assert line.look(frame(2, (0, 0)), None).maximum == 65535
    line.look(frame(3), None, masks_of(opening(mask((0, 0)))))
    assert line.look(frame(4, (0, 0)), None, masks_of(opening())).maximum == 65535


def test_a_mask_that_nobody_can_read_masks_nothing(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    part = Part(name="pixel_mask", shape=SHAPE, dtype="uint32", compression="bslz4")
    content = (4 * 8 * 12).to_bytes(8, "big") + bytes(4) + b"nonsense"
    assert line.look(frame(1, (0, 0)), masks=masks_of(opening((part, content)))).maximum == 65535
    assert "previews count all pixels" in caplog.text


def test_a_compressed_mask_masks() -> None:
    _, content = mask((0, 1))
    with h5py.File.in_memory() as file:
        values = np.frombuffer(content, "<u4").reshape(SHAPE)
        packed = file.create_dataset("m", data=values, chunks=SHAPE, **hdf5plugin.Bitshuffle(cname="lz4"))
        raw = packed.id.read_direct_chunk((0, 0))[1]
    described = Part(name="pixel_mask", shape=SHAPE, dtype="uint32", compression="bslz4")
    (found,) = counted(masks_of(opening((described, raw)))).values()
    assert np.argwhere(~found).tolist() == [[0, 1]]


def test_each_channel_has_its_own_mask_or_that_of_all() -> None:
    masks = counted(masks_of(opening(mask((0, 0)), mask((0, 1), (0, 2), name="pixel_mask.threshold_2"))))
    sizes = {
        name: counted_pixels(Part(name=name, shape=SHAPE, dtype="uint16"), image(0), masks).size
        for name in ("threshold_1", "threshold_2")
    }
    assert sizes == {"threshold_1": image(0).size - 1, "threshold_2": image(0).size - 2}


@pytest.mark.parametrize(
    "part",
    [
        Part(name="region", shape=(4, 6), dtype="uint16"),
        Part(name="module_2", shape=SHAPE, dtype="uint16", offset=(8, 0)),
    ],
    ids=lambda part: part.name,
)
def test_a_mask_of_another_shape_masks_nothing(part: Part) -> None:
    values = image(0, part.shape)
    assert counted_pixels(part, values, counted(masks_of(opening(mask((0, 0)))))) is values


def test_the_mask_goes_once_and_no_frame_goes_before_it() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    taker = context.socket(zmq.PULL)
    taker.rcvhwm = 1
    feed = PreviewFeed("inproc://preview", context)
    masks = masks_of(opening(mask((0, 0))))
    try:
        # Room for two messages: the mask of the second series has none.
        feed.offer(frame(0), "a", 0.0, masks_of(opening()))
        second = frame(1)
        feed.offer(second, "b", 1.0, masks)
        taker.bind("inproc://preview")
        taken: list[bytes] = []
        for now in range(2, 602):
            feed.offer(second, "b", float(now), masks)
            while taker.poll(50 if len(taken) < 4 else 0):
                taken.append(taker.recv_multipart()[0])
            if len(taken) >= 4:
                break
        feed.offer(frame(2), "b", 700.0, masks)
        assert taker.poll(30_000)
        taken.append(taker.recv_multipart()[0])
        assert taken == [b'[null,"a"]', b'[0,"a"]', b'[null,"b"]', b'[1,"b"]', b'[2,"b"]']
    finally:
        feed.close()
        taker.close()
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


def test_a_small_frame_is_looked_at_where_it_is_written_with_the_same_result(line: Line) -> None:
    small, masks = SmallFrames(), masks_of(opening(FLATFIELD, mask((0, 0), (7, 11))))
    first, second = frame(1, (0, 0)), frame(2, (7, 11))
    assert small.look(first, 10.0, masks) == line.look(first, masks=masks)
    # Frames that come fast are for others to look at.
    assert small.look(second, 10.004, masks) is None
    assert small.look(second, 10.005, masks) == line.look(second, masks=masks)
    assert small.look(frame(3, (0, 0)), 10.1, None).maximum == 65535  # type: ignore[union-attr]  # it is small


@pytest.mark.parametrize(
    "other",
    [
        store(1, bytes(100), Part(name="image", shape=SHAPE, dtype="uint16", compression="bslz4")),
        store(1, bytes(2 << 18), Part(name="image", shape=(512, 512), dtype="uint16")),
        store(1, b"short"),
    ],
    ids=["compressed", "large", "broken"],
)
def test_any_other_frame_is_handed_over(other: StoreFrame) -> None:
    assert SmallFrames().look(other, 10.0, masks_of(opening())) is None
