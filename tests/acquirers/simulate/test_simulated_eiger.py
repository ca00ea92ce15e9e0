"""`stins simulate eiger` as a client meets it: HTTP and both streams, over a whole series."""

from collections.abc import Iterator

import cbor2
import msgspec
import pytest
from simulate_kit import RunningEiger, pulling, running_eiger


@pytest.fixture(scope="module")
def eiger() -> Iterator[RunningEiger]:
    with running_eiger() as running:
        running.command("initialize")
        yield running


def test_a_series_of_stream_v2_has_a_start_its_images_and_an_end(eiger: RunningEiger) -> None:
    with pulling(eiger.v2) as socket:
        eiger.set("stream", mode="enabled", format="cbor", header_appendix={"file": "x"}, image_appendix="")
        eiger.set(nimages=2, ntrigger=2, trigger_mode="ints", count_time=0.001, frame_time=0.002)
        number = eiger.command("arm")["sequence id"]
        assert eiger.state == "ready"
        eiger.command("trigger")
        assert eiger.state == "ready"
        eiger.command("trigger")
        assert eiger.state == "idle"
        messages = [cbor2.loads(socket.recv()) for _ in range(6)]
        assert [message["type"] for message in messages] == ["start", *4 * ["image"], "end"]
        assert [message["image_id"] for message in messages[1:5]] == [0, 1, 2, 3]
        assert {message["series_id"] for message in messages} == {number}
        assert (messages[0]["number_of_images"], messages[0]["user_data"]) == (4, {"file": "x"})


def test_a_series_of_stream_v1_has_a_header_its_images_and_an_end(eiger: RunningEiger) -> None:
    with pulling(eiger.v1) as socket:
        eiger.set("stream", mode="enabled", format="legacy", header_appendix="about", image_appendix="image")
        eiger.set(nimages=2, ntrigger=1, trigger_mode="ints", count_time=0.001, frame_time=0.002)
        number = eiger.command("arm")["sequence id"]
        eiger.command("trigger")
        header, *images, end = [socket.recv_multipart() for _ in range(4)]
        assert msgspec.json.decode(header[0]) == {"htype": "dheader-1.0", "header_detail": "basic", "series": number}
        assert (len(header), header[2]) == (3, b"about")
        assert [msgspec.json.decode(image[0])["frame"] for image in images] == [0, 1]
        assert [(len(image), image[4]) for image in images] == [(5, b"image")] * 2
        assert msgspec.json.decode(end[0]) == {"htype": "dseries_end-1.0", "series": number}
