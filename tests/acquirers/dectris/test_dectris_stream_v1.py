"""SIMPLON stream v1, message by message; the captured one is in the replay's tests."""

import struct
from typing import Any

import h5py
import hdf5plugin
import lz4.block
import msgspec
import numpy as np
import pytest
from stins_acquirers.backend import BackendError, Ending
from stins_acquirers.bitshuffle import decode_part
from stins_acquirers.dectris import StreamV1

from stins import Part
from stins.messages import Payload

PIXELS = (np.arange(6000, dtype="<u4") % 97).reshape(60, 100)


def json(**content: Any) -> bytes:
    return msgspec.json.encode(content)


def header(*parts: bytes, detail: str = "basic") -> list[bytes]:
    return [json(htype="dheader-1.0", series=3, header_detail=detail), *parts]


def image(blob: bytes, encoding: str, *, dtype: str = "uint32", **more: Any) -> list[Payload]:
    return [
        json(htype="dimage-1.0", series=3, frame=5, hash="x"),
        json(htype="dimage_d-1.0", type=dtype, encoding=encoding, **{"shape": [100, 60], "size": len(blob), **more}),
        blob,
        json(htype="dconfig-1.0", start_time=1_000, stop_time=3_000, real_time=2_000),
    ]


@pytest.fixture
def stream() -> StreamV1:
    """A stream whose header has come."""
    stream = StreamV1()
    stream.read(header(json(nimages=10, ntrigger=2, bit_depth_image=32)))
    return stream


def test_an_uncompressed_image_is_passed_on_uncopied(stream: StreamV1) -> None:
    blob = PIXELS.tobytes()
    frame: Any = stream.read(image(blob, "<")).value
    assert frame.payload[0] is blob
    assert frame.parts == (Part(name="threshold_1", shape=(60, 100), dtype="uint32"),)


def test_a_bare_lz4_block_gets_the_framing_of_hdf5s_filter(stream: StreamV1) -> None:
    frame: Any = stream.read(image(lz4.block.compress(PIXELS.tobytes(), store_size=False), "lz4<")).value
    np.testing.assert_array_equal(decode_part(frame.parts[0], frame.payload[0]), PIXELS)
    with h5py.File("f", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("d", (60, 100), "<u4", chunks=(60, 100), compression=hdf5plugin.LZ4())
        dataset.id.write_direct_chunk((0, 0), frame.payload[0])
        np.testing.assert_array_equal(dataset[...], PIXELS)


def test_an_lz4_block_as_long_as_its_content_is_not_taken_for_the_content(stream: StreamV1) -> None:
    # A match of four bytes saves exactly what LZ4 spends on the literals around it.
    raw = bytes(range(13)) + bytes(range(4)) + bytes(range(200, 208))
    block = lz4.block.compress(raw, store_size=False)
    assert len(block) == len(raw)
    frame: Any = stream.read(image(block, "lz4<", dtype="uint8", shape=[25, 1])).value
    assert decode_part(frame.parts[0], frame.payload[0]).tobytes() == raw


def test_the_header_is_understood_wherever_its_optional_parts_stand() -> None:
    mask = np.zeros((2, 3), "<u4").tobytes()
    parts = (
        json(nimages=10, ntrigger=2),
        json(htype="dpixelmask-1.0", shape=[3, 2], type="uint32"),
        mask,
        b"run 5, sample 7",
    )
    opening: Any = StreamV1().read(header(*parts, detail="all")).value
    assert (opening.frames_expected, opening.payload) == (20, (mask,))
    assert opening.header.data == (Part(name="pixel_mask", shape=(2, 3), dtype="uint32"),)
    assert opening.header.detector_specific["header_appendix"] == "run 5, sample 7"


def test_a_header_without_detail_says_nothing_of_the_frames() -> None:
    opening: Any = StreamV1().read(header(json(sample="Si"), detail="none")).value
    assert (opening.frames_expected, opening.header.data) == (None, msgspec.UNSET)
    assert opening.header.detector_specific["header_appendix"] == {"sample": "Si"}


def test_the_count_rate_table_comes_as_pairs_of_a_count_and_its_value() -> None:
    table = np.arange(8, dtype="<f4").tobytes()
    opening: Any = (
        StreamV1()
        .read(header(json(), json(htype="dcountrate_table-1.0", shape=[2, 4], type="float32"), table, detail="all"))
        .value
    )
    assert opening.header.data == (Part(name="countrate_correction_table", shape=(4, 2), dtype="float32"),)
    assert opening.payload == (table,)


def test_the_end_is_the_end(stream: StreamV1) -> None:
    assert stream.read([json(htype="dseries_end-1.0", series=3)]).value == Ending()


def test_the_appendix_of_an_image_is_kept(stream: StreamV1) -> None:
    frame: Any = stream.read([*image(PIXELS.tobytes(), "<"), b"omega=1"]).value
    assert frame.detector_specific == {
        "hash": "x",
        "start_time": 1000,
        "stop_time": 3000,
        "real_time": 2000,
        "image_appendix": "omega=1",
    }


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (image(b"1234", "bs16-lz4<"), "encoding 'bs16-lz4<'"),
        (image(b"1234", "bs32-lz4>"), "encoding 'bs32-lz4>'"),
        (image(b"1234", "<", dtype="complex64"), "type 'complex64'"),
        (image(b"1234", "<", size=5), "size: got 4 bytes, expected 5"),
        (image(b"1234", "<")[:1], "dimage-1.0 5: got 1 parts, expected at least 3"),
        ([json(htype="dother-1.0", series=3)], "htype: got 'dother-1.0'"),
        ([b"\x00"], "part 0: .*malformed"),
        ([], "part 0"),
        (header(json(), json(htype="dflatfield-1.0", shape=[1, 1], type="float32")), "got no binary part behind it"),
        (header(json(sensor_thickness="thick")), "dheader-1.0: .*sensor_thickness"),
    ],
)
def test_a_message_that_is_not_as_it_should_be_is_refused_with_what_it_is(
    stream: StreamV1, message: list[Payload], problem: str
) -> None:
    with pytest.raises(BackendError, match=problem):
        stream.read(message)


def test_the_framing_of_lz4_is_raw_size_block_size_and_compressed_size(stream: StreamV1) -> None:
    block = lz4.block.compress(PIXELS.tobytes(), store_size=False)
    frame: Any = stream.read(image(block, "lz4<")).value
    assert struct.unpack(">QII", frame.payload[0][:16]) == (24_000, 24_000, len(block))
