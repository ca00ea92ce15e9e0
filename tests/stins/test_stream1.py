"""The older dialect: there and back nothing changes."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stins import (
    Acquisition,
    Data,
    Decoder,
    FrameLayout,
    MessageError,
    Part,
    SeriesEnd,
    SeriesInfo,
    SeriesStart,
    encode,
)
from stins.stream1 import from_stream1, to_stream1

KEYS = st.text(min_size=1, max_size=8)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
EXTRAS = st.dictionaries(KEYS, JSON, max_size=3)
NUMBERS = st.integers(0, 2**64 + 5)
OPTIONAL_MAPPED = {"htype", "msg_number", "frame", "shape", "type", "compression", "chunks", "discard", "filename"}


def head(htype: str, number: int, extras: dict[str, object], **keys: object) -> bytes:
    kept = {key: value for key, value in extras.items() if key not in OPTIONAL_MAPPED}
    return msgspec.json.encode({**kept, "htype": htype, "msg_number": number, **keys})


@st.composite
def headers(draw):
    keys = draw(st.sampled_from([{}, {"filename": None}, {"filename": ""}, {"filename": "a/b.h5"}]))
    metas = draw(st.lists(JSON | st.builds(lambda b: {"save_raw": b}, st.booleans()), max_size=2))
    return [head("header", draw(NUMBERS), draw(EXTRAS), **keys), *map(msgspec.json.encode, metas)]


@st.composite
def images(draw):
    n, rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    keys: dict[str, object] = {"frame": draw(st.integers(0, 2**53 - 1)), "type": "uint16"}
    if draw(st.booleans()):
        keys["discard"] = draw(st.booleans())
    whole = draw(st.booleans()) and n == 1
    keys["shape"] = [rows, columns] if whole else [n, rows, columns]
    if not whole and draw(st.booleans()):
        keys["chunks"] = [1, rows, columns]
    size = rows * columns * 2
    payload = [draw(st.binary(min_size=size, max_size=size)) for _ in range(n)]
    compression = draw(st.sampled_from([None, "none", "bslz4"]))
    if compression:
        keys["compression"] = compression
    if compression == "bslz4":
        payload = [size.to_bytes(8, "big") + (8192).to_bytes(4, "big") + part for part in payload]
    return [head("image", draw(NUMBERS), draw(EXTRAS), **keys), *payload]


@st.composite
def ends(draw):
    return [
        head("series_end", draw(NUMBERS), draw(EXTRAS)),
        *map(msgspec.json.encode, draw(st.lists(JSON, max_size=2))),
    ]


def content(parts, texts):
    return [msgspec.json.decode(part) for part in parts[:texts]], list(parts[texts:])


@given(headers() | images() | ends())
def test_stream1_to_stins_and_back_is_the_same_message(parts):
    texts = 1 if b'"htype":"image"' in parts[0] and b'"frame"' in parts[0] else len(parts)

    assert content(to_stream1(from_stream1(parts)), texts) == content(parts, texts)


@given(headers() | images() | ends())
def test_a_recorder_that_encodes_what_it_decoded_sends_on_the_same_stream1_message(parts):
    packet = Decoder(strict=True).decode(from_stream1(parts))
    texts = 1 if isinstance(packet.header, Data) else len(parts)

    assert content(to_stream1([encode(packet.header), *packet.payload]), texts) == content(parts, texts)


PIXELS = b"\1\0" * 12
PART = Part(name="image", shape=(3, 4), dtype="uint16")
STINS_MESSAGES = [
    [encode(SeriesStart(version=1, message_id=1))],
    [
        encode(
            SeriesStart(
                version=1,
                message_id=2**64,
                series=SeriesInfo(id="a", filename="x.h5", record=False, frames_expected=3),
                acquisition=Acquisition(count_time=0.1),
                data=(PART, Part(name="pixel_mask", shape=(3, 4), dtype="uint16")),
            )
        ),
        PIXELS,
    ],
    [encode(Data(version=1, message_id=3, frame_number=0, timestamp=0.5, acquisition_timestamp=2**60 + 1))],
    [encode(Data(version=1, message_id=3, frame_number=7, data=(PART,), retake=True)), PIXELS],
    [
        encode(
            Data(
                version=1,
                message_id=3,
                frame_number=7,
                data=(
                    Part(name="threshold_1", shape=(3, 4), dtype="uint16"),
                    Part(name="threshold_2", shape=(3, 4), dtype="uint16"),
                ),
            )
        ),
        PIXELS,
        PIXELS[::-1],
    ],
    [
        b'{"version":1,"message_type":"data","message_id":1,"frame_number":0,"detector_specific":{},'
        b'"data":[{"name":"image","shape":[3,4],"dtype":"uint16","compression":"none"}]}',
        PIXELS,
    ],
    [encode(SeriesEnd(version=1, message_id=4, frames_sent=9, status="aborted", reason="stop"))],
]


@pytest.mark.parametrize("parts", STINS_MESSAGES)
def test_stins_to_stream1_and_back_is_the_same_message(parts):
    assert content(from_stream1(to_stream1(parts)), 1) == content(parts, 1)


def test_a_header_becomes_a_series_start_that_keeps_its_number():
    parts = [b'{"htype":"header","msg_number":0,"filename":"a.h5","extra":1}', b'{"save_raw":false,"x":2}']

    assert msgspec.json.decode(from_stream1(parts)[0]) == {
        "version": 1,
        "message_type": "series-start",
        "message_id": 0,
        "series": {"filename": "a.h5", "record": False},
        "detector_specific": {"stream1": {"extra": 1}, "stream1_header": {"save_raw": False, "x": 2}},
    }


def test_an_image_of_two_parts_becomes_a_frame_in_chunks():
    text = head("image", 5, {}, frame=2, shape=[2, 3, 4], chunks=[1, 3, 4], type="uint16", compression="none")

    header = Decoder(strict=True).decode(from_stream1([text, PIXELS, PIXELS])).header

    assert header == Data(
        version=1,
        message_id=5,
        frame_number=2,
        frame=FrameLayout(shape=(2, 3, 4), chunks=(1, 3, 4)),
        data=tuple(Part(name="image", shape=(1, 3, 4), dtype="uint16", offset=(i, 0, 0)) for i in (0, 1)),
    )


def test_a_native_series_start_tells_a_stream1_receiver_its_settings():
    head, meta, _mask = to_stream1(STINS_MESSAGES[1])

    assert msgspec.json.decode(head)["filename"] == "x.h5"
    assert msgspec.json.decode(meta) == {"count_time": 0.1, "save_raw": False}


def test_a_payload_is_handed_on_uncopied():
    payload = memoryview(bytearray(PIXELS))
    stins = from_stream1([head("image", 1, {}, frame=0, shape=[3, 4], type="uint16"), payload])

    assert stins[1] is payload
    assert to_stream1(stins)[1] is payload


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([], ["without parts"]),
        ([b"[1]"], ["part 0", "[1]"]),
        ([b"{"], ["part 0", "JSON"]),
        ([b'{"a":' * 2000], ["part 0", "JSON"]),
        ([b" " * (1 << 20)], ["part 0", "1048576"]),
        ([b'{"htype":"status"}'], ["htype", "status"]),
        ([b'{"htype":"header","msg_number":1}', b"\x80pickle"], ["part 1", "pickle"]),
        ([head("image", 1, {}, frame=0, type="uint16"), b"12"], ["shape", "got none"]),
        ([head("image", 1, {}, frame=0, shape=[1]), b"12"], ["type", "got none"]),
        ([head("image", 1, {}, frame=0, shape=[3, 2], type="uint8", chunks=[2, 2]), b"1234"], ["chunks", "[2, 2]"]),
        (
            [head("image", 1, {}, frame=0, shape=[10**12, 2], type="uint8", chunks=[1, 2]), b"1"],
            ["shape", "1000000000000"],
        ),
        ([head("image", 1, {}, frame=0, shape="big", type="uint8"), b"1", b"2"], ["shape", "big"]),
    ],
)
def test_what_is_no_stream1_message_is_refused_by_name(parts, words):
    with pytest.raises(MessageError) as caught:
        from_stream1(parts)

    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_parts_that_differ_have_no_form_in_stream1():
    parts = (PART, Part(name="other", shape=(2, 2), dtype="uint16"))

    with pytest.raises(MessageError, match=r"data\[1\].*\[2, 2\]"):
        to_stream1([encode(Data(version=1, message_id=3, frame_number=7, data=parts)), PIXELS, b"12345678"])
