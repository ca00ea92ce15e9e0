"""SIMPLON stream v2, message by message."""

from itertools import pairwise
from typing import Any

import cbor2
import h5py
import hdf5plugin
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stins_acquirers.backend import BackendError, Ending
from stins_acquirers.bitshuffle import decode_part
from stins_acquirers.dectris import StreamV2
from stins_acquirers.dectris.incoming import Identity

from stins import Part
from stins.messages import Axis, Channel
from tests.acquirers.dectris.messages_v2 import array, image, message, pixels, start

FILTERS = {"bslz4": hdf5plugin.Bitshuffle(), "lz4": hdf5plugin.LZ4(), "none": None}


def read(raw: bytes) -> Any:
    return StreamV2().read([raw]).value


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
@pytest.mark.parametrize("compression", ["bslz4", "lz4", "none"])
def test_pixels_are_passed_on_uncopied_and_hdf5_reads_them(compression: str, dtype: str) -> None:
    raw = image({"threshold_1": array(pixels(dtype), compression)})
    frame = read(raw)
    part, payload = frame.parts[0], frame.payload[0]
    assert part == Part(name="threshold_1", shape=(60, 100), dtype=dtype, compression=compression)
    assert payload.obj is raw
    np.testing.assert_array_equal(decode_part(part, payload), pixels(dtype))
    with h5py.File("f", "w", driver="core", backing_store=False) as file:
        chunked: dict[str, Any] = {"chunks": (60, 100), "compression": FILTERS[compression]}
        dataset = file.create_dataset("d", (60, 100), dtype, **chunked)
        dataset.id.write_direct_chunk((0, 0), payload)
        np.testing.assert_array_equal(dataset[...], pixels(dtype))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
@pytest.mark.parametrize("compression", ["bslz4", "lz4"])
def test_the_vendors_decoder_reads_the_same_pixels(compression: str, dtype: str) -> None:
    vendor = pytest.importorskip("dectris.compression")
    payload = read(image({"threshold_1": array(pixels(dtype), compression)})).payload[0]
    decoded = vendor.decompress(bytes(payload), compression, elem_size=pixels(dtype).itemsize)
    assert decoded == pixels(dtype).tobytes()


def test_each_channel_is_a_part_in_the_detectors_order() -> None:
    channels = {name: array(pixels() + n) for n, name in enumerate(["threshold_1", "threshold_2", "difference"])}
    frame = read(image(channels))
    assert [part.name for part in frame.parts] == ["threshold_1", "threshold_2", "difference"]
    assert [np.frombuffer(blob, "<u2")[0] for blob in frame.payload] == [0, 1, 2]


def test_an_images_times_are_nanoseconds_and_its_exposure_began_that_long_after_the_series() -> None:
    frame = read(image({"threshold_1": array(pixels())}))
    assert frame.number == 5
    assert frame.timestamp == 0.02
    # 2023-10-03T15:47:49.454Z
    assert frame.acquisition_timestamp == 1_696_348_069_454_000_000
    assert frame.detector_specific == {"start_time": 20_000_000, "stop_time": 22_500_000, "real_time": 2_500_000}


def test_the_appendix_of_an_image_is_kept() -> None:
    frame = read(image({"threshold_1": array(pixels())}, user_data={"omega": 1.5, "when": cbor2.CBORTag(0, "now")}))
    assert frame.detector_specific["user_data"] == {"omega": 1.5, "when": "now"}


def test_an_image_without_times_has_none() -> None:
    frame = read(message("image", image_id=0, data={"threshold_1": array(pixels())}))
    assert (frame.timestamp, frame.acquisition_timestamp, frame.detector_specific) == (
        msgspec.UNSET,
        msgspec.UNSET,
        {},
    )


def test_every_message_says_which_series_it_belongs_to() -> None:
    for raw in (start(), image({"threshold_1": array(pixels())}), message("end")):
        assert StreamV2().read([raw]).series == Identity(3, "01HBV3JPF9")


def test_the_end_is_the_end() -> None:
    assert read(message("end")) == Ending()


def test_the_start_says_what_is_measured_and_how() -> None:
    incoming = StreamV2().read([start()])
    opening: Any = incoming.value
    header = opening.header
    assert incoming.appendix == '{"filename": "x.h5"}'
    assert opening.frames_expected == 20
    assert header.data == (Part(name="threshold_1", shape=(60, 100), dtype="uint16"),)
    assert (header.detector.description, header.detector.serial_number) == ("Dectris EIGER2 Si 1M", "E-32-0117")
    assert (header.detector.sensor_shape, header.detector.saturation_value) == ((60, 100), 21_517)
    acquisition = header.acquisition
    assert (acquisition.count_time, acquisition.frame_time, acquisition.incident_energy) == (0.004, 0.0041, 13_500)
    assert (acquisition.threshold_energy, acquisition.channels) == ((6750.0,), msgspec.UNSET)
    assert acquisition.goniometer == (Axis(name="omega", start=30.0, increment=0.1),)
    assert (acquisition.flatfield_applied, acquisition.pixel_mask_applied) == (True, False)
    assert header.detector_specific["detector_translation"] == [0.15, 0.16, -0.237]
    assert header.detector_specific["arm_date"] == "2023-10-03T17:47:48.329+02:00"


def test_what_the_start_does_not_say_comes_from_the_detectors_configuration() -> None:
    stream = StreamV2({"trigger_mode": "exts", "nimages": 5, "ntrigger": 2, "detector_distance": 0.25, "count_time": 9})
    opening: Any = stream.read([start()]).value
    acquisition = opening.header.acquisition
    assert (acquisition.trigger_mode, acquisition.distance, acquisition.count_time) == ("exts", 0.25, 0.004)
    assert (opening.frames_expected, acquisition.frames_per_trigger) == (10, 5)


def test_several_channels_have_their_energies() -> None:
    known = {"threshold/difference/lower_threshold": 1, "threshold/difference/upper_threshold": 2}
    opening: Any = StreamV2(known).read([start(channels=["threshold_1", "threshold_2", "difference"])]).value
    assert [part.name for part in opening.header.data] == ["threshold_1", "threshold_2", "difference"]
    assert opening.header.acquisition.threshold_energy == (6750.0, 9000.0)
    assert opening.header.acquisition.channels == {
        "threshold_1": Channel(threshold_energy=(6750.0,)),
        "threshold_2": Channel(threshold_energy=(9000.0,)),
        "difference": Channel(threshold_energy=(6750.0, 9000.0)),
    }


def test_mask_flat_field_and_table_are_arrays_of_the_series() -> None:
    field = pixels("float32") / 97
    raw = start(
        pixel_mask={"threshold_1": array(pixels("uint32"), "bslz4")},
        flatfield={"threshold_1": array(field)},
        countrate_correction_lookup_table=cbor2.CBORTag(70, np.arange(10, dtype="<u4").tobytes()),
    )
    opening = read(raw)
    assert opening.header.data[1:] == (
        Part(name="pixel_mask", shape=(60, 100), dtype="uint32", compression="bslz4"),
        Part(name="flatfield", shape=(60, 100), dtype="float32"),
        Part(name="countrate_correction_table", shape=(10,), dtype="uint32"),
    )
    assert {payload.obj for payload in opening.payload} == {raw}
    np.testing.assert_array_equal(decode_part(opening.header.data[1], opening.payload[0]), pixels("uint32"))


def test_channels_have_masks_of_their_own() -> None:
    masks = {f"threshold_{n}": array(pixels("uint32")) for n in (1, 2, 3)}
    opening = read(start(channels=["threshold_1", "threshold_3"], pixel_mask=masks))
    assert [part.name for part in opening.header.data[2:]] == ["pixel_mask.threshold_1", "pixel_mask.threshold_3"]


def test_an_array_that_is_none_is_left_out_and_said_so() -> None:
    opening = read(start(flatfield={"threshold_1": "0000"}))
    assert "got str, expected a typed array" in opening.header.detector_specific["flatfield"]
    assert len(opening.header.data) == 1


FORTRAN = cbor2.CBORTag(40, [[60, 100], cbor2.CBORTag(65, pixels().tobytes())])
SHUFFLED = cbor2.CBORTag(40, [[60, 100], cbor2.CBORTag(69, cbor2.CBORTag(56500, ["bslz4", 4, b"x"]))])


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (image({"threshold_1": FORTRAN}), "image 5: threshold_1: got numbers of '>u2'"),
        (image({"threshold_1": SHUFFLED}), "compression 'bslz4' of items of 4 bytes, expected bslz4 of items of 2"),
        (image({"threshold_1": 5}), "image 5: threshold_1: got int, expected a typed array"),
        (image({}), "image 5: got dict, expected a number and channels"),
        (image({"t": array(pixels())}, number=-1), "image -1"),
        (image({"t": array(pixels())}, real_time=[1, 0]), r"real_time: got \[1, 0\]"),
        (message("image", image_id=0), "image: no key 'data'"),
        (message("other"), "type: got 'other', expected start, image or end"),
        (cbor2.dumps({"type": "end"}), "end: no key 'series_id'"),
        (cbor2.dumps({"type": "end", "series_id": "3"}), "series: got '3'"),
        (cbor2.dumps([1]), "got list, expected a map"),
        (start(channels="threshold_1"), "channels: got 'threshold_1'"),
        (start(goniometer={"omega": 5}), "start: omega: got int, expected a map"),
        (start(sensor_thickness="thick"), "start: .*sensor_thickness"),
        (b'{"htype": "dheader-1.0"}', "CBOR at byte"),
    ],
)  # fmt: skip
def test_a_message_that_is_not_as_it_should_be_is_refused_with_what_it_is(raw: bytes, problem: str) -> None:
    with pytest.raises(BackendError, match=problem):
        read(raw)


def test_a_message_of_stream_v1_is_recognised() -> None:
    with pytest.raises(BackendError, match="got a message of 4 parts, expected 1; is it stream v1"):
        StreamV2().read([b"", b"", b"", b""])


# -- images that are like the first -------------------------------------------------------------


NUMBERS = st.one_of(st.integers(0, 30), st.integers(0, 2**16 + 5), st.integers(0, 2**40))


def one_image(number: int = 5, start: int = 0, compression: str = "none", **more: Any) -> bytes:
    times = {"start_time": [start, 50_000_000], "stop_time": [start + 7, 50_000_000]}
    data = more.pop("data", {"threshold_1": array(pixels(), compression)})
    return image(data, number, **{**times, **more})


def looks(incoming: Any) -> Any:
    frame = incoming.value
    return incoming.series, [bytes(blob) for blob in frame.payload], msgspec.structs.replace(frame, payload=())


@given(st.lists(st.tuples(NUMBERS, NUMBERS, st.sampled_from(["none", "bslz4"])), min_size=2, max_size=6))
def test_images_that_are_like_the_first_are_read_alike(images: list[tuple[int, int, str]]) -> None:
    stream = StreamV2()
    for number, start_time, compression in images:
        raw = one_image(number, start_time, compression)
        assert looks(stream.read([raw])) == looks(StreamV2().read([raw]))


def test_an_image_that_is_like_the_first_is_not_read_as_cbor_again() -> None:
    stream = StreamV2()
    first, second = (stream.read([one_image(number)]).value for number in (100, 101))
    # What is read anew is made anew, and only equal.
    assert (second.number, second.parts is first.parts) == (101, True)


def test_where_a_number_becomes_longer_one_image_is_read_and_those_behind_it_are_like_it() -> None:
    stream = StreamV2()
    images = [stream.read([one_image(number)]).value for number in range(254, 259)]
    assert [image.number for image in images] == [254, 255, 256, 257, 258]
    assert [one.parts is other.parts for one, other in pairwise(images)] == [True, False, True, True]


def test_images_of_two_kinds_are_unpacked_all_the_same_when_they_come_to_and_fro() -> None:
    stream = StreamV2()
    ticks = [65_535 + number % 2 for number in range(300)]
    images = [stream.read([one_image(256 + at, real_time=[each, 10**9])]).value for at, each in enumerate(ticks)]
    assert [image.detector_specific["real_time"] for image in images] == ticks
    # What is read anew is made anew: the first of each kind.
    assert len({id(image.parts) for image in images}) == 2


def test_a_kind_comes_back_after_a_number_of_both_became_longer() -> None:
    stream = StreamV2()
    images = [
        stream.read([one_image(number, real_time=[65_535 + number % 2, 10**9])]).value for number in range(246, 266)
    ]
    assert [image.number for image in images] == list(range(246, 266))
    assert len({id(image.parts) for image in images}) == 4


def test_images_whose_number_is_one_byte_leave_all_moulds_to_those_behind_them() -> None:
    stream = StreamV2()
    for number in range(24):
        stream.read([one_image(number)])
    # Times of as many bases, two images each.
    bases = [1000 + number for number in range(64) for _ in range(2)]
    images = [stream.read([one_image(256 + at, real_time=[1, base])]).value for at, base in enumerate(bases)]
    assert all(one.parts is other.parts for one, other in zip(images[::2], images[1::2], strict=True))


@pytest.mark.parametrize("compressed", [b"", bytes(70_000), b"\x01" * 300])
def test_the_pixels_length_may_change(compressed: bytes) -> None:
    stream = StreamV2()
    blob = cbor2.CBORTag(56500, ["bslz4", 2, compressed])
    first, second = (
        one_image(number, data={"threshold_1": cbor2.CBORTag(40, [[60, 100], cbor2.CBORTag(69, data)])})
        for number, data in ((100, cbor2.CBORTag(56500, ["bslz4", 2, bytes(30)])), (101, blob))
    )
    stream.read([first])
    assert looks(stream.read([second])) == looks(StreamV2().read([second]))


@pytest.mark.parametrize(
    "change",
    [
        {"series_id": 4},
        {"series_unique_id": "another"},
        {"series_date": cbor2.CBORTag(0, "2023-10-03T17:47:50.434+02:00")},
        {"user_data": "omega"},
        {"real_time": [1, 1000]},
        {"data": {"threshold_2": array(pixels())}},
        {"data": {"threshold_1": array(pixels("uint32"))}},
        {"data": {"threshold_1": array(pixels()), "difference": array(pixels())}},
    ],
    ids=["series", "unique id", "date", "appendix", "time base", "channel", "type", "two channels"],
)
def test_an_image_that_is_otherwise_is_read_as_it_is(change: dict[str, Any]) -> None:
    stream = StreamV2()
    stream.read([one_image(100)])
    raw = one_image(101, **change)
    assert looks(stream.read([raw])) == looks(StreamV2().read([raw]))


def test_an_image_of_the_first_kind_that_is_cut_short_is_refused() -> None:
    stream = StreamV2()
    raw = one_image(100)
    stream.read([raw])
    for size in range(1, len(raw) - len(pixels().tobytes()) + 1):
        with pytest.raises(BackendError, match="CBOR"):
            stream.read([raw[:size]])
    with pytest.raises(BackendError, match="CBOR at byte"):
        stream.read([raw[:-1]])


def test_numbers_in_the_texts_of_a_message_are_not_taken_for_its_own() -> None:
    stream = StreamV2()
    for number in (100, 101):
        raw = one_image(number, series_unique_id="himage_id\x05", user_data="istart_time\x82\x01\x02")
        assert looks(stream.read([raw])) == looks(StreamV2().read([raw]))
