"""The reader of CBOR: what a general decoder reads it reads too, without copying, and it refuses the rest by name."""

from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stins_acquirers.dectris.cbor import CborError, Compressed, DateTime, Tagged, TypedArray, read_cbor

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=300)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5), max_leaves=40
)


def as_read(value: Any) -> Any:
    """With bytes in place of slices."""
    match value:
        case memoryview():
            return bytes(value)
        case list():
            return [as_read(item) for item in value]
        case dict():
            return {key: as_read(item) for key, item in value.items()}
    return value


@given(VALUES)
def test_it_reads_what_a_general_encoder_writes(value: Any) -> None:
    assert as_read(read_cbor(cbor2.dumps(value))) == value


@given(VALUES)
def test_it_reads_containers_whose_length_is_told_by_their_end(value: Any) -> None:
    assert as_read(read_cbor(b"\x9f" + cbor2.dumps(value) + b"\xbf\x61k" + cbor2.dumps(value) + b"\xff\xff")) == [
        value,
        {"k": value},
    ]


@given(st.binary(max_size=60))
def test_whatever_the_bytes_are_it_reads_them_as_a_general_decoder_does_or_refuses_them(raw: bytes) -> None:
    try:
        value = as_read(read_cbor(raw))
    except CborError:
        return
    if "Tagged" not in repr(value) and "TypedArray" not in repr(value) and "DateTime" not in repr(value):
        assert repr(value) == repr(as_plain(cbor2.loads(raw)))


def as_plain(value: Any) -> Any:
    """What a general decoder calls otherwise."""
    if isinstance(value, cbor2.CBORTag) and value.tag == 55799:
        return as_plain(value.value)
    if isinstance(value, dict) or type(value).__name__ == "frozendict":
        return {key: as_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    return None if value is cbor2.undefined else value


@given(VALUES, st.data())
def test_a_message_that_is_cut_short_is_refused(value: Any, data: st.DataObject) -> None:
    raw = cbor2.dumps([value])
    cut = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(CborError):
        read_cbor(raw[:cut])


def test_a_byte_string_is_a_slice_of_the_message() -> None:
    message = cbor2.dumps({"pixels": bytes(1000)})
    pixels = read_cbor(message)["pixels"]
    assert isinstance(pixels, memoryview)
    assert pixels.obj is message


def test_typed_arrays_compressed_bytes_and_dates_are_values_of_their_own() -> None:
    packed = cbor2.CBORTag(56500, ["bslz4", 2, b"blocks"])
    message = {
        "image": cbor2.CBORTag(40, [[3, 4], cbor2.CBORTag(69, packed)]),
        "table": cbor2.CBORTag(85, b"12345678"),
        "date": cbor2.CBORTag(0, "2023-10-03T17:47:49Z"),
        "other": cbor2.CBORTag(1234, 5),
    }
    assert read_cbor(cbor2.dumps(cbor2.CBORTag(55799, message))) == {
        "image": TypedArray("<u2", Compressed("bslz4", 2, b"blocks"), (3, 4)),
        "table": TypedArray("<f4", b"12345678"),
        "date": DateTime("2023-10-03T17:47:49Z"),
        "other": Tagged(1234, 5),
    }


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"", "0 bytes, which end in the middle"),
        (b"\x01\x02", "1 bytes behind the value that ends at 1"),
        (b"\x81" * 100 + b"\x01", "nested deeper than 24 levels"),
        (b"\x9a\xff\xff\xff\xff\x01", "4294967295 items, of which 1 bytes are there"),
        (b"\x5a\xff\xff\xff\xff\x01", "a string of 4294967295 bytes, of which 1 are there"),
        (b"\xa1\x01\x02", "int as the key of a map, expected text"),
        (b"\x5f\x41a\xff", "additional information 31 of major type 2"),
        (b"\x1c", "additional information 28 of major type 0"),
        (b"\xff", "simple value 31"),
        (b"\x61\xff", "text that is not UTF-8"),
        (cbor2.dumps(cbor2.CBORTag(40, [[2, 2], 5])), "something else under tag 40"),
        (cbor2.dumps(cbor2.CBORTag(1040, [[2, 2], 5])), "an array by columns"),
        (cbor2.dumps(cbor2.CBORTag(56500, ["lz4"])), "something else under tag 56500"),
        (cbor2.dumps(cbor2.CBORTag(69, "text")), "str under tag 69, expected bytes or text"),
        (b"\x9a\x00\x02\x00\x01" + b"\x01" * 131_073, "more than 131072 values in one message"),
        (b"\x9f" + b"\x01" * 131_073 + b"\xff", "more than 131072 values in one message"),
        (b"\x7a\x00\x10\x00\x01" + b"a" * 1_048_577, "text of 1048577 bytes, expected at most 1048576"),
    ],
)  # fmt: skip
def test_what_no_detector_sends_is_refused_with_the_place_and_what_it_is(raw: bytes, problem: str) -> None:
    with pytest.raises(CborError, match=problem):
        read_cbor(raw)
