"""Both streams of the simulated EIGER, read by other people's readers."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from eiger_reading import blobs, by_hdf5, loads, v1_image
from simulate_kit import DEADLINE_S, RunningEiger, pulling, running_eiger
from stins_acquirers.simulate.eiger.darray import to_json

SHAPE = (64, 48)
DEPTHS = {8: (0.0001, 0.0003), 16: (0.001, 0.002), 32: (0.03, 0.031)}


@contextmanager
def streaming(eiger: RunningEiger, stream: str, **settings: Any) -> Iterator[Any]:
    """A client of that stream; the detector is set, by default to two images of a millisecond."""
    defaults = {"ntrigger": 1, "nimages": 2, "trigger_mode": "ints", "count_time": 0.001, "frame_time": 0.002}
    with pulling(eiger.v1 if stream == "legacy" else eiger.v2) as socket:
        eiger.set("stream", mode="enabled", format=stream, header_detail="basic")
        eiger.set("stream", header_appendix="", image_appendix="")
        eiger.set(**{"compression": "bslz4", **defaults, **settings})
        yield socket


def series_v2(eiger: RunningEiger, socket: Any) -> tuple[dict[str, Any], list[bytes], dict[str, Any]]:
    """The start, the images' messages as they are, the end."""
    eiger.command("arm")
    eiger.command("trigger")
    start, images = loads(socket.recv()), []
    while (message := loads(raw := socket.recv()))["type"] == "image":
        images.append(raw)
    return start, images, message


def series_v1(eiger: RunningEiger, socket: Any) -> tuple[list[bytes], list[list[bytes]]]:
    """The header and the images."""
    eiger.command("arm")
    eiger.command("trigger")
    header, images = socket.recv_multipart(), []
    while len(parts := socket.recv_multipart()) > 1:
        images.append(parts)
    return header, images


# -- pixels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["bslz4", "lz4", "none"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_the_vendors_decoder_and_hdf5_read_the_same_pixels(eiger: RunningEiger, compression: str, depth: int) -> None:
    count_s, frame_s = DEPTHS[depth]
    with streaming(eiger, "cbor", compression=compression, count_time=count_s, frame_time=frame_s) as socket:
        start, images, _ = series_v2(eiger, socket)
    for image in images:
        pixels = loads(image)["data"]["threshold_1"]
        stored = by_hdf5(blobs(image)["threshold_1"][1], compression, SHAPE, f"uint{depth}")
        assert start["image_dtype"] == pixels.dtype.name == f"uint{depth}"
        assert blobs(image)["threshold_1"][0] == compression
        np.testing.assert_array_equal(pixels, stored)


@pytest.mark.parametrize("compression", ["bslz4", "lz4", "none"])
def test_both_streams_carry_the_same_pixels(eiger: RunningEiger, compression: str) -> None:
    with streaming(eiger, "cbor", compression=compression) as socket:
        _, messages, _ = series_v2(eiger, socket)
    with streaming(eiger, "legacy", compression=compression) as socket:
        _, images = series_v1(eiger, socket)
    for message, parts in zip(messages, images, strict=True):
        np.testing.assert_array_equal(loads(message)["data"]["threshold_1"], v1_image(parts)[1])


def test_masked_pixels_show_the_highest_value(eiger: RunningEiger) -> None:
    with streaming(eiger, "cbor") as socket:
        eiger.put("header_detail", "all", "stream")
        start, images, _ = series_v2(eiger, socket)
    mask, pixels = start["pixel_mask"]["threshold_1"], loads(images[0])["data"]["threshold_1"]
    assert (mask & 1).any()
    assert (pixels[mask != 0] == 65_535).all()
    assert pixels[mask == 0].max() < start["saturation_value"]


def test_masked_pixels_are_zero_where_that_is_asked_for(eiger: RunningEiger) -> None:
    with streaming(eiger, "cbor", mask_to_zero=True) as socket:
        eiger.put("header_detail", "all", "stream")
        start, images, _ = series_v2(eiger, socket)
    eiger.put("mask_to_zero", False)
    assert not loads(images[0])["data"]["threshold_1"][start["pixel_mask"]["threshold_1"] != 0].any()


def test_only_gaps_are_flagged_where_the_mask_is_not_applied(eiger: RunningEiger) -> None:
    mask = np.zeros(SHAPE, "u4")
    mask[10, 10], mask[20, :] = 2, 1
    put_mask(eiger, mask)
    with streaming(eiger, "cbor", pixel_mask_applied=False) as socket:
        _, images, _ = series_v2(eiger, socket)
    eiger.put("pixel_mask_applied", True)
    eiger.client.delete(eiger.address("detector", "config", "pixel_mask"))
    np.testing.assert_array_equal(loads(images[0])["data"]["threshold_1"] == 65_535, mask == 1)


def put_mask(eiger: RunningEiger, mask: Any) -> None:
    eiger.put("pixel_mask", to_json(mask))


def test_images_look_like_diffraction_and_differ(eiger: RunningEiger) -> None:
    with streaming(eiger, "cbor", nimages=8) as socket:
        _, messages, _ = series_v2(eiger, socket)
    images = [loads(message)["data"]["threshold_1"] for message in messages]
    assert len({image.tobytes() for image in images}) == 8
    counts = np.stack([np.where(image == 65_535, 0, image) for image in images])
    assert 0.02 < counts.mean() < 0.5
    assert counts.max() > 3


# -- stream v2 --------------------------------------------------------------------------------------


def test_each_enabled_threshold_and_the_difference_is_a_channel(eiger: RunningEiger) -> None:
    on = {"threshold/2/mode": "enabled", "threshold/difference/mode": "enabled"}
    with streaming(eiger, "cbor", **on) as socket:
        start, images, _ = series_v2(eiger, socket)
    eiger.set(**{"threshold/2/mode": "disabled", "threshold/difference/mode": "disabled"})
    assert start["channels"] == ["threshold_1", "threshold_2", "difference"]
    assert set(start["threshold_energy"]) == {"threshold_1", "threshold_2"}
    for image in images:
        data = loads(image)["data"]
        seen = data["threshold_1"] != 65_535
        low, high = data["threshold_1"][seen].astype(int), data["threshold_2"][seen].astype(int)
        assert list(data) == start["channels"]
        assert (high <= low).all()
        assert high.sum() < low.sum()
        np.testing.assert_array_equal(data["difference"][seen], low - high)


def test_times_of_an_image_are_those_of_the_settings(eiger: RunningEiger) -> None:
    with streaming(eiger, "cbor", nimages=3, count_time=0.005, frame_time=0.006) as socket:
        start, messages, end = series_v2(eiger, socket)
    images = [loads(message) for message in messages]
    begins = [image["start_time"][0] for image in images]
    assert {image["start_time"][1] for image in images} == {50_000_000}
    assert [image["stop_time"][0] - begin for image, begin in zip(images, begins, strict=True)] == [250_000] * 3
    assert [image["real_time"][0] for image in images] == [250_000] * 3
    assert [later - begin for begin, later in pairwise(begins)] == [300_000] * 2
    assert {image["series_date"] for image in images} == {start["arm_date"]}
    assert {image["series_unique_id"] for image in images} == {start["series_unique_id"], end["series_unique_id"]}


@pytest.mark.parametrize(("detail", "arrays"), [("none", False), ("basic", False), ("all", True)])
def test_arrays_come_with_the_start_only_in_full_detail(eiger: RunningEiger, detail: str, arrays: bool) -> None:
    with streaming(eiger, "cbor") as socket:
        eiger.put("header_detail", detail, "stream")
        start, _, _ = series_v2(eiger, socket)
    found = {"countrate_correction_lookup_table", "flatfield", "pixel_mask"} & set(start)
    assert len(found) == (3 if arrays else 0)
    if arrays:
        assert start["flatfield"]["threshold_1"].shape == start["pixel_mask"]["threshold_1"].shape == SHAPE
        assert np.count_nonzero(start["pixel_mask"]["threshold_1"]) == eiger.value("number_of_excluded_pixels")


@pytest.mark.parametrize("data", ["text", {"nested": [1, 2.5, None, {"deep": True}]}, [1, 2], 17])
def test_user_data_of_any_kind_come_with_start_and_images(eiger: RunningEiger, data: Any) -> None:
    with streaming(eiger, "cbor") as socket:
        eiger.set("stream", header_appendix=data, image_appendix=data)
        start, images, end = series_v2(eiger, socket)
    assert start["user_data"] == data
    assert [loads(image)["user_data"] for image in images] == [data, data]
    assert "user_data" not in end


def test_the_start_says_what_the_detector_is_set_to(eiger: RunningEiger) -> None:
    with streaming(
        eiger, "cbor", ntrigger=1, photon_energy=10_000.0, beam_center_x=12.5, omega_increment=0.1
    ) as socket:
        start, _, _ = series_v2(eiger, socket)
    eiger.set(photon_energy=12_400.0, beam_center_x=0.0)
    assert start["goniometer"]["omega"] == {"increment": 0.1, "start": 0.0}
    assert (start["incident_energy"], start["threshold_energy"]) == (10_000.0, {"threshold_1": 5000.0})
    assert (start["image_size_x"], start["image_size_y"], start["beam_center_x"]) == (48, 64, 12.5)
    assert start["incident_wavelength"] == pytest.approx(1.23984, abs=1e-5)
    assert start["detector_description"] == "Dectris EIGER2 CdTe 1M"


# -- stream v1 --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("detail", "parts"), [("none", 1), ("basic", 2), ("all", 8)])
def test_the_header_has_as_many_parts_as_its_detail_says(eiger: RunningEiger, detail: str, parts: int) -> None:
    with streaming(eiger, "legacy") as socket:
        eiger.put("header_detail", detail, "stream")
        header, _ = series_v1(eiger, socket)
        eiger.put("header_appendix", '{"filename": "f"}', "stream")
        longer, _ = series_v1(eiger, socket)
    assert (len(header), len(longer), longer[-1]) == (parts, parts + 1, b'{"filename": "f"}')
    assert msgspec.json.decode(header[0])["header_detail"] == detail


def test_the_arrays_of_a_header_are_described_fastest_axis_first(eiger: RunningEiger) -> None:
    with streaming(eiger, "legacy") as socket:
        eiger.put("header_detail", "all", "stream")
        header, _ = series_v1(eiger, socket)
    described = [msgspec.json.decode(part) for part in header[2:8:2]]
    assert [each["htype"] for each in described] == ["dflatfield-1.0", "dpixelmask-1.0", "dcountrate_table-1.0"]
    assert [each["shape"] for each in described] == [[48, 64], [48, 64], [2, 4000]]
    assert [len(part) for part in header[3:8:2]] == [48 * 64 * 4, 48 * 64 * 4, 2 * 4000 * 4]
    table = np.frombuffer(header[7], "<f4").reshape(4000, 2)
    assert (table[0] == 0).all()
    assert (table[1:, 1] < table[1:, 0]).all()


def test_an_image_of_the_legacy_stream_has_its_times_in_nanoseconds(eiger: RunningEiger) -> None:
    with streaming(eiger, "legacy", nimages=2, count_time=0.005, frame_time=0.006) as socket:
        _, images = series_v1(eiger, socket)
    first, second = (v1_image(parts)[0] for parts in images)
    assert [first["frame"], second["frame"]] == [0, 1]
    assert (first["stop_time"] - first["start_time"], first["real_time"]) == (5_000_000, 5_000_000)
    assert second["start_time"] - first["start_time"] == 6_000_000
    assert first["size"] == len(images[0][2])


def test_the_legacy_stream_has_the_first_threshold_only(eiger: RunningEiger) -> None:
    with streaming(eiger, "legacy", **{"threshold/2/mode": "enabled"}) as socket:
        _, images = series_v1(eiger, socket)
    eiger.put("threshold/2/mode", "disabled")
    assert [len(parts) for parts in images] == [4, 4]


# -- slow clients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", ["cbor", "legacy"])
@pytest.mark.parametrize("clients", [1, 3])
def test_no_message_is_overwritten_while_it_waits_for_a_slow_client(stream: str, clients: int) -> None:
    images = 400
    with running_eiger(shape="256x256", pool=3) as eiger, ExitStack() as stack:
        eiger.command("initialize")
        endpoint = eiger.v2 if stream == "cbor" else eiger.v1
        sockets = [stack.enter_context(pulling(endpoint, queue=4)) for _ in range(clients)]
        eiger.set("stream", mode="enabled", format=stream)
        eiger.set(nimages=images, count_time=0.0005, frame_time=0.001)
        eiger.command("arm")
        eiger.command("trigger")
        assert eiger.status()["images_dropped"] == 0
        taken: dict[int, str] = {}
        deadline = time.monotonic() + DEADLINE_S
        while len(taken) < images:
            assert time.monotonic() < deadline, f"got {len(taken)} images, expected {images}"
            for socket in sockets:
                if socket.poll(10):
                    number, digest = digest_of(socket.recv_multipart())
                    taken |= {number: digest} if number is not None else {}
    assert len(set(taken.values())) == 3
    assert all(taken[number] == taken[number % 3] for number in range(images))


def digest_of(parts: list[bytes]) -> tuple[int | None, str]:
    """An image's number and what its pixels are known by; no number for other messages."""
    if len(parts) > 2:
        about, pixels = v1_image(parts) if b"dimage" in parts[0] else ({}, np.empty(0))
        return about.get("frame"), hashlib.sha256(pixels).hexdigest()
    message = loads(parts[0]) if parts[0].startswith(b"\xd9\xd9\xf7") else {}
    pixels = message["data"]["threshold_1"] if message.get("type") == "image" else np.empty(0)
    return message.get("image_id"), hashlib.sha256(pixels).hexdigest()
