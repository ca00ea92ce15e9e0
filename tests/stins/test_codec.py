"""Bytes to messages: what is good comes back, what is not is refused by key and value, and the decoder lives on."""

import contextlib
import json
import sys
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stins import (
    Acquisition,
    Axis,
    Beamline,
    Channel,
    Data,
    Decoder,
    FrameLayout,
    Limits,
    MessageError,
    Part,
    SeriesEnd,
    SeriesInfo,
    SeriesStart,
    encode,
    part_bytes,
)
from stins.messages import frame_count

CAPTURE = Path(__file__).parents[3] / "shared" / "captures" / "electrometer-stins-v1.cbors"
PART = {"name": "image", "shape": [2, 3], "dtype": "uint16"}
MASK = {"name": "pixel_mask", "shape": [2], "dtype": "uint8"}
SMALL = {"name": "a", "shape": [1, 1], "dtype": "float64", "offset": [0, 0]}
PIXELS = bytes(12)
GOOD = Data(version=1, message_id=77, frame_number=0, data=(Part(name="image", shape=(2, 3), dtype="uint16"),))


def text(message_type: str = "data", **keys: object) -> bytes:
    required = {"frame_number": 0} if message_type == "data" else {}
    return json.dumps({"version": 1, "message_type": message_type, "message_id": 5, **required, **keys}).encode()


def with_part(**change: object) -> bytes:
    return text(data=[{**PART, **change}])


def chunk(raw: int, block: int = 8192, rest: bytes = b"x") -> bytes:
    return raw.to_bytes(8, "big") + block.to_bytes(4, "big") + rest


# -- what is good -----------------------------------------------------------------------------------

INTEGERS = st.integers(0, 2**70)
MESSAGES = st.one_of(
    st.builds(
        SeriesStart,
        version=st.just(1),
        message_id=INTEGERS,
        series=st.builds(SeriesInfo, id=st.text(), filename=st.none() | st.text(), record=st.booleans()),
        acquisition=st.builds(Acquisition, count_time=st.floats(0, 1e9), gain=st.text() | st.floats(0, 9)),
        detector_specific=st.dictionaries(st.text(), st.integers() | st.text() | st.none()),
    ),
    st.builds(
        Data,
        version=st.just(1),
        message_id=INTEGERS,
        frame_number=st.integers(0, 2**53 - 1),
        timestamp=st.floats(-1e9, 1e9),
        acquisition_timestamp=st.integers(-(2**70), 2**70),
        discard=st.booleans(),
    ),
    st.builds(
        SeriesEnd,
        version=st.just(1),
        message_id=INTEGERS,
        frames_sent=st.integers(0, 2**53 - 1),
        status=st.sampled_from(["finished", "aborted", "failed"]),
        reason=st.text(),
    ),
)


@given(MESSAGES)
def test_what_is_encoded_is_decoded_to_the_same_value(message):
    assert Decoder(strict=True).decode([encode(message)]).header == message


@pytest.mark.parametrize("number", [2**53 + 1, 2**63, 2**64 + 1, 10**30])
def test_integers_beyond_doubles_survive_to_the_last_digit(number):
    raw = text(acquisition_timestamp=number, detector_specific={"count": -number})

    header = Decoder(strict=True).decode([raw]).header

    assert (header.acquisition_timestamp, header.detector_specific) == (number, {"count": -number})
    assert json.loads(encode(header)) == json.loads(raw)


def test_binary_parts_are_handed_on_uncopied():
    payload = memoryview(bytearray(PIXELS))

    assert Decoder().decode([with_part(), payload]).payload[0] is payload


def test_absent_null_and_empty_filename_are_three_things():
    texts = [text("series-start", series=series) for series in ({}, {"filename": None}, {"filename": ""})]

    headers = [Decoder().decode([raw]).header for raw in texts]

    assert len({header.series for header in headers}) == 3
    assert [header.recorded for header in headers] == [False] * 3


def test_a_series_start_carries_a_pixel_mask():
    mask = {"name": "pixel_mask", "shape": [2, 3], "dtype": "uint32"}
    raw = text("series-start", data=[PART, mask])

    assert Decoder(strict=True).decode([raw, bytes(24)]).payload == (bytes(24),)


def test_a_series_start_carries_arrays_of_single_channels_and_a_table():
    mask = {"name": "pixel_mask.threshold_2", "shape": [2, 3], "dtype": "uint32", "compression": "lz4"}
    table = {"name": "countrate_correction_table", "shape": [4, 2], "dtype": "float32"}
    raw = text("series-start", data=[PART, mask, table])

    assert Decoder(strict=True).decode([raw, chunk(24), bytes(32)]).payload == (chunk(24), bytes(32))


def test_a_series_start_says_where_the_detector_stands_and_how_the_sample_turns():
    omega = Axis(name="omega", start=10.0, increment=0.1, vector=(-1.0, 0.0, 0.0))
    acquisition = Acquisition(distance=0.2, goniometer=(omega,), channels={"difference": Channel()})
    start = SeriesStart(version=1, message_id=1, acquisition=acquisition, beamline=Beamline(name="BioMAX"))

    assert Decoder(strict=True).decode([encode(start)]).header == start


def test_a_frame_comes_in_parts_that_lie_on_its_grid():
    parts = [{**PART, "shape": [1, 2, 3], "offset": [i, 0, 0]} for i in (0, 1)]
    raw = text(frame={"shape": [2, 2, 3], "chunks": [1, 2, 3]}, data=parts)

    assert Decoder(strict=True).decode([raw, PIXELS, PIXELS]).header.frame == FrameLayout(
        shape=(2, 2, 3), chunks=(1, 2, 3)
    )


@pytest.mark.parametrize("compression", ["bslz4", "lz4"])
def test_a_compressed_part_says_the_size_of_its_pixels(compression):
    assert Decoder().decode([with_part(compression=compression), chunk(12)]).header.message_id == 5


def test_packed_pixels_round_up_to_a_byte():
    assert part_bytes(Part(name="image", shape=(3,), dtype="mono12p")) == 5


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        ({}, 1),
        ({"timestamp": 0.5}, 1),
        ({"timestamp": [0.5, 0.6]}, 2),
        ({"acquisition_timestamp": [1, 2, 3]}, 3),
        ({"detector_specific": {"a": [1, 2], "b": [3, 4]}}, 2),
        ({"detector_specific": {"a": [1, 2], "b": 3}}, 1),
    ],
)
def test_lists_of_numbers_are_several_frames(keys, count):
    assert frame_count(Decoder().decode([text(**keys)]).header) == count


# -- strict and tolerant ----------------------------------------------------------------------------


def test_a_strict_decoder_refuses_an_unknown_key_by_name():
    with pytest.raises(MessageError, match=r"channel1: .*got 0\.5"):
        Decoder(strict=True).decode([text(channel1=0.5)])


def test_an_announced_compression_is_refused_by_the_strict_and_ignored_by_the_tolerant():
    raw = text("series-start", data=[PART | {"compression": "bslz4"}])

    assert Decoder().decode([raw]).payload == ()
    with pytest.raises(MessageError, match=r"data\[0\].compression: got 'bslz4' in a series-start") as caught:
        Decoder(strict=True).decode([raw])
    assert caught.value.message_id == 5


def test_an_array_of_the_series_may_be_compressed():
    raw = text("series-start", data=[PART, MASK | {"compression": "lz4"}])

    assert Decoder(strict=True).decode([raw, chunk(2)]).payload == (chunk(2),)


def test_a_tolerant_decoder_moves_unknown_keys_in_their_order_and_names_them():
    raw = text(channel2=[1], channel1=2, detector_specific={"channel1": 0})

    packet = Decoder().decode([raw])

    assert packet.moved == ("channel1", "channel2")
    assert list(packet.header.detector_specific.items()) == [("channel1", 0), ("channel2", [1]), ("channel1_", 2)]


def test_a_tolerant_decoder_moves_unknown_keys_out_of_the_protocols_own_structures():
    raw = text("series-start", series={"id": "a", "x": 1}, detector={"y": 2}, data=[{**PART, "z": 3}])

    packet = Decoder().decode([raw])

    assert packet.header.detector_specific == {"series.x": 1, "detector.y": 2, "data.0.z": 3}


def test_a_tolerant_decoder_moves_unknown_keys_out_of_axes_and_channels():
    axes, channels = [{"name": "phi", "start": 0, "x": 1}], {"low": {"y": 2}}
    raw = text("series-start", acquisition={"goniometer": axes, "channels": channels}, beamline={"z": 3})

    packet = Decoder().decode([raw])

    moved = {"acquisition.goniometer.0.x": 1, "acquisition.channels.low.y": 2, "beamline.z": 3}
    assert packet.header.detector_specific == moved
    assert packet.header.acquisition.goniometer == (Axis(name="phi", start=0),)


def test_a_key_that_reads_like_the_path_of_a_nested_one_is_not_dropped():
    packet = Decoder().decode([text("series-start", **{"series.x": 1, "series": {"x": 2}})])

    assert packet.header.detector_specific == {"series.x": 1, "series.x_": 2}
    assert packet.moved == ("series.x", "series.x")


def test_a_real_electrometer_is_taken_whole():
    if not CAPTURE.exists():
        pytest.skip(f"no capture at {CAPTURE}")
    with CAPTURE.open("rb") as file:
        messages = [cbor2.load(file) for _ in range(6)]

    packets = [Decoder().decode(parts) for parts in messages]

    assert [packet.header.message_id for packet in packets] == [1, 2, 3, 4, 5, 6]
    assert packets[1].header.acquisition_timestamp == 1704807770443944912
    assert packets[1].moved == ("channel1", "channel2", "channel3", "channel4")


# -- what is refused --------------------------------------------------------------------------------

DEEP = b"[" * 1000 + b"]" * 1000
FRAME = {"shape": [2, 2, 3], "chunks": [1, 2, 3]}


def on_grid(*offsets: list[int], **change: object) -> list[dict[str, object]]:
    return [{**PART, "shape": [1, 2, 3], "offset": offset, **change} for offset in offsets]


REFUSED = {
    "nothing": ([], ["without parts"]),
    "no JSON": ([b"\x80\x04pickle"], ["header", "pickle"]),
    "no object": ([b"[1, 2]"], ["header", "object", "[1,2]"]),
    "cut off": ([text()[:-1]], ["header", "truncated"]),
    "cut off behind an unknown key": ([text(x=1)[:-1]], ["header", "truncated"]),
    "no UTF-8": ([text(x="§").replace(b"\\u00a7", b"\xff")], ["header", "utf-8"]),
    "a header of 1 MiB": ([text(detector_specific={"x": "y" * (1 << 20)})], ["header", "1048", "262144"]),
    "nested 1,000 deep": (
        [text(detector_specific={"a": 0, "b": 1}).replace(b'"b": 1', b'"b": ' + DEEP)],
        ["detector_specific", "32"],
    ),
    "nested 1,000 deep under an unknown key": ([text(evil=1).replace(b"1}", DEEP + b"}")], ["evil", "32"]),
    "nested 40 deep": ([text(detector_specific={"a": json.loads("[" * 40 + "]" * 40)})], ["detector_specific.a", "32"]),
    "another version": ([text(version=2)], ["version", "got 2, expected 1"]),
    "another message": ([text(message_type="hello")], ["message_type", "hello", "series-start"]),
    "a message type that is a list": ([text(message_type=["data"])], ["message_type", '["data"]']),
    "two message types": ([text(x=1)[:-1] + b', "message_type": "other"}'], ["message_type", "other"]),
    "two message types, one a list": ([text(x=1)[:-1] + b', "message_type": [1]}'], ["message_type"]),
    "no id": ([b'{"version":1,"message_type":"series-end"}'], ["message_id", "missing"]),
    "a negative id": ([text(message_id=-3)], ["message_id", "-3"]),
    "a frame number that no double holds": ([text(frame_number=2**53)], ["frame_number", "9007199254740992"]),
    "no list of parts": ([text(data=5, x=1)], ["data", "array", "5"]),
    "detector_specific that is null": ([text(detector_specific=None, x=1)], ["detector_specific", "object", "null"]),
    "10^12 pixels": ([with_part(shape=[10**6, 10**6]), b""], ["data[0].shape", "1000000"]),
    "10^12 pixels in four axes": ([with_part(shape=[1000] * 4), b""], ["data[0].shape", "[1000, 1000, 1000, 1000]"]),
    "10^12 pixels in parts": (
        [text(frame={"shape": [1000] * 4, "chunks": [1, 1, 2, 3]}, data=[]), b""],
        ["frame.shape", "1000000000000"],
    ),
    "a frame of 8 GiB in parts": (
        [text("series-start", frame={"shape": [65536, 16384], "chunks": [1, 1]}, data=[SMALL])],
        ["frame.shape", "float64", "8589934592 bytes", "1073741824 bytes"],
    ),
    "no axis": ([with_part(shape=[]), b""], ["data[0].shape", "[]"]),
    "an empty axis": ([with_part(shape=[0, 3]), b""], ["data[0].shape", "[0, 3]"]),
    "an unknown dtype": ([with_part(dtype="uint128"), PIXELS], ["data[0].dtype", "uint128", "uint16"]),
    "an unknown compression": ([with_part(compression="zip"), PIXELS], ["data[0].compression", "zip", "bslz4"]),
    "a name that is a path": ([with_part(name="../x"), PIXELS], ["data[0].name", "../x"]),
    "two parts of one name": ([text(data=[PART, PART]), PIXELS, PIXELS], ["data[1].name", "image", "data[0]"]),
    "two masks of a channel": (
        [text("series-start", data=[MASK | {"name": "pixel_mask.a"}] * 2), b"12", b"12"],
        ["data[1].name", "pixel_mask.a", "data[0]"],
    ),
    "a channel of the name of a path": (
        [text("series-start", acquisition={"channels": {"../x": {}}})],
        ["acquisition.channels", "../x", "letters"],
    ),
    "an axis with a newline": (
        [text("series-start", acquisition={"goniometer": [{"name": "phi\n", "start": 0}]})],
        ["acquisition.goniometer[0].name", "phi\\n"],
    ),
    "two axes of one name": (
        [text("series-start", acquisition={"detector_axes": [{"name": "a", "start": 0}] * 2})],
        ["acquisition.detector_axes[1].name", "'a'", "acquisition.detector_axes[0]"],
    ),
    "a direction in the plane": (
        [text("series-start", acquisition={"fast_direction": [1, 0]})],
        ["acquisition.fast_direction", "length 3", "[1,0]"],
    ),
    "a beam of no known profile": (
        [text("series-start", beamline={"beam_profile": "square"})],
        ["beamline.beam_profile", "square"],
    ),
    "two masks": ([text("series-start", data=[MASK, MASK]), b"12", b"12"], ["data[1].name", "pixel_mask", "data[0]"]),
    "two parts of one name in a start": ([text("series-start", data=[PART, PART])], ["data[1].name", "image"]),
    "two frames of the name of a mask": ([text(data=[MASK, MASK]), b"12", b"12"], ["data[1].name", "pixel_mask"]),
    "a frame of the name of a mask beside the grid": (
        [text(frame=FRAME, data=on_grid([9, 0, 0], name="pixel_mask")), PIXELS],
        ["data[0].offset", "[9, 0, 0]"],
    ),
    "a name with a newline": ([with_part(name="image\n"), PIXELS], ["data[0].name", "image\\n"]),
    "too many parts": ([text(data=[PART] * 65)], ["data", "65", "64"]),
    "a part shorter than described": ([with_part(), bytes(11)], ["data[0]", "11", "12"]),
    "a part longer than described": ([with_part(), bytes(13)], ["data[0]", "13", "12"]),
    "a part too few": ([with_part()], ["data", "got 0", "expected 1"]),
    "a part too many": ([with_part(), PIXELS, PIXELS], ["data", "got 2", "expected 1"]),
    "a part behind a series-end": ([text("series-end"), b"x"], ["data", "got 1", "expected 0"]),
    "a bslz4 header that lies": ([with_part(compression="bslz4"), chunk(13)], ["data[0]", "13 bytes", "12"]),
    "an lz4 header without blocks": ([with_part(compression="lz4"), chunk(12, 0)], ["data[0]", "blocks of 0"]),
    "a bslz4 chunk cut off": ([with_part(compression="bslz4"), chunk(12, rest=b"")], ["data[0]", "got 12 bytes"]),
    "an empty cbf": ([with_part(compression="cbf"), b""], ["data[0]", "0 bytes"]),
    "a mask of another size": (
        [text("series-start", data=[MASK]), b"1"],
        ["data[0]", "got 1 bytes", "expected 2"],
    ),
    "chunks of other axes": ([text(frame={"shape": [2, 3], "chunks": [2]})], ["frame.chunks", "[2]", "2 axes"]),
    "a part that is no chunk": ([text(frame=FRAME, data=[PART | {"shape": [3, 3]}])], ["data[0].shape", "[3, 3]"]),
    "a part beside the grid": ([text(frame=FRAME, data=on_grid([2, 0, 0])), PIXELS], ["data[0].offset", "[2, 0, 0]"]),
    "two parts at one place": (
        [text(frame=FRAME, data=on_grid([0, 0, 0], [0, 0, 0])), PIXELS, PIXELS],
        ["data[1].offset", "(0, 0, 0)", "data[0]"],
    ),
    "parts of two types": (
        [text(frame=FRAME, data=on_grid([0, 0, 0]) + on_grid([1, 0, 0], dtype="int16")), PIXELS, PIXELS],
        ["data[1].dtype", "int16", "uint16"],
    ),
    "lists of two lengths": (
        [text(timestamp=[0.1, 0.2], acquisition_timestamp=[1, 2, 3])],
        ["acquisition_timestamp", "3", "2"],
    ),
    "dropped frames counted downwards": (
        [text(frames_dropped=[[1, 2], [5, 3]])],
        ["frames_dropped[1]", "got [5, 3]", "first <= last"],
    ),
    "dropped frames counted downwards at the end": (
        [text("series-end", frames_dropped=[[5, 3]])],
        ["frames_dropped[0]", "got [5, 3]"],
    ),
    "an empty list": ([text(acquisition_timestamp=[])], ["acquisition_timestamp", "empty"]),
    "several time stamps for one image": ([text(timestamp=[1, 2], data=[PART]), PIXELS], ["timestamp", "got 2"]),
}


@pytest.mark.parametrize(("parts", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_it_is_refused_by_key_and_value_and_the_next_good_message_is_taken(parts, words):
    decoder = Decoder()

    with pytest.raises(MessageError) as caught:
        decoder.decode(parts)

    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert len(str(caught.value)) < 500
    assert decoder.decode([encode(GOOD), PIXELS]).header == GOOD


@pytest.mark.parametrize(
    "parts",
    [
        [with_part(), b"short"],
        [text(version=2)],
        [text(evil=1).replace(b"1}", DEEP + b"}")],
        [text(detector_specific={"a": json.loads("[" * 40 + "]" * 40)})],
        [b'{"evil": {"message_id": 6, "x": ' + DEEP + b'}, "message_id": 5}'],
        [b'{"message_id": 5, "evil": ' + DEEP + b', "y": "\\"message_id\\": 7"}'],
    ],
)
def test_a_refused_message_keeps_its_id_so_that_it_is_not_taken_for_lost(parts):
    with pytest.raises(MessageError) as caught:
        Decoder().decode(parts)

    assert caught.value.message_id == 5


def test_what_was_checked_last_does_not_excuse_what_comes_next():
    decoder = Decoder()
    decoder.decode([encode(GOOD), PIXELS])
    with pytest.raises(MessageError):
        decoder.decode([with_part(dtype="uint128"), PIXELS])

    with pytest.raises(MessageError, match="uint128"):
        decoder.decode([with_part(dtype="uint128"), PIXELS])


def test_the_same_parts_are_checked_again_when_their_frame_is_another():
    decoder, parts = Decoder(), on_grid([0, 0, 0], [1, 0, 0])
    decoder.decode([text(frame=FRAME, data=parts), PIXELS, PIXELS])

    with pytest.raises(MessageError, match=r"data\[1\].name: got 'image'"):
        decoder.decode([text(data=parts), PIXELS, PIXELS])
    with pytest.raises(MessageError, match=r"data\[1\].offset: got \[1, 0, 0\]"):
        decoder.decode([text(frame=FRAME | {"shape": [1, 2, 3]}, data=parts), PIXELS, PIXELS])


def test_limits_can_be_set():
    with pytest.raises(MessageError, match="expected at most 11 bytes"):
        Decoder(limits=Limits(frame_bytes=11)).decode([with_part(), PIXELS])


@given(st.data())
def test_no_bytes_whatever_raise_anything_but_a_message_error(data):
    raw = bytearray(text(x=1, data=[PART], frame=FRAME, timestamp=[1.5], frames_dropped=[[1, 2]]))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255) | st.sampled_from(b'[]{},:"01'))
    parts = [bytes(raw), *data.draw(st.lists(st.binary(max_size=20), max_size=2))]

    for strict in (False, True):
        with contextlib.suppress(MessageError):
            Decoder(strict=strict).decode(parts)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["version", "message_type", "message_id", "frame_number", "data", "frame", "series", "x"])


@given(st.dictionaries(NAMES, VALUES), st.sampled_from(["data", "series-start", "series-end"]))
def test_no_json_whatever_raises_anything_but_a_message_error(change, message_type):
    raw = json.dumps({**json.loads(text(message_type)), **change}).encode()

    with contextlib.suppress(MessageError):
        Decoder().decode([raw])


def test_the_recursion_limit_is_left_alone():
    before = sys.getrecursionlimit()
    with pytest.raises(MessageError):
        Decoder().decode([text(evil=1).replace(b"1}", DEEP + b"}")])

    assert sys.getrecursionlimit() == before
