"""The simulator's values and rules by themselves."""

import struct

import cbor2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stins_acquirers.simulate.eiger import cbor, darray
from stins_acquirers.simulate.eiger.dependents import settle
from stins_acquirers.simulate.eiger.detector_keys import detector_keys
from stins_acquirers.simulate.eiger.keys import RefusedError
from stins_acquirers.simulate.eiger.models import FAMILIES, MODELS


@given(st.integers(0, (1 << 64) - 1))
def test_a_whole_number_is_encoded_as_cbor2_encodes_it(value: int) -> None:
    assert cbor.uint(value) == cbor2.dumps(value)


@given(st.text(), st.lists(st.integers(0, 1 << 40), max_size=30), st.integers(0, 100_000))
def test_texts_arrays_and_tags_are_encoded_as_cbor2_encodes_them(text: str, items: list[int], tag: int) -> None:
    assert cbor.text(text) == cbor2.dumps(text)
    assert cbor.array([cbor.uint(item) for item in items]) == cbor2.dumps(items)
    assert cbor.tag(60_000 + tag) + cbor.uint(1) == cbor2.dumps(cbor2.CBORTag(60_000 + tag, 1))
    assert cbor.map_head(1) + cbor.text(text) + cbor.byte_string_head(2) + b"ab" == cbor2.dumps({text: b"ab"})


@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from(["<u4", "<f4"]))
def test_an_array_comes_back_from_json_and_tiff(rows: int, columns: int, dtype: str) -> None:
    values = np.arange(rows * columns).astype(dtype).reshape(rows, columns)
    for back in (darray.from_json(darray.to_json(values)), darray.from_tiff(darray.to_tiff(values))):
        assert (back.dtype, back.shape) == (values.dtype, values.shape)
        np.testing.assert_array_equal(back, values)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader_of_tiff(content: bytes) -> None:
    for raw in (content, struct.pack("<2sHI", b"II", 42, 8) + content):
        try:
            darray.from_tiff(raw)
        except RefusedError:
            continue


@pytest.mark.parametrize("name", MODELS)
@given(count_s=st.floats(1e-5, 100), frame_s=st.floats(1e-4, 100))
def test_times_and_depths_never_contradict_each_other(name: str, count_s: float, frame_s: float) -> None:
    model = MODELS[name]
    family = FAMILIES[model.family]
    values = {key: each.value for key, each in detector_keys(model, family).items()}
    values = settle(model, family, {**values, "frame_time": frame_s}, "frame_time")
    values = settle(model, family, {**values, "count_time": count_s}, "count_time")
    assert values["count_time"] == count_s
    assert values["frame_time"] >= count_s + family.readout_time
    assert values["bit_depth_image"] in (8, 16, 32)
    assert values["countrate_correction_count_cutoff"] < (1 << values["bit_depth_image"]) - 1
    assert values["frame_count_time"] <= count_s
