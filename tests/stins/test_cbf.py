"""The pixels of a CBF file; fabio, which has no code in common with it, says what they are."""

import numpy as np
import pytest
from fabio.cbfimage import CbfImage
from fabio.compression import compByteOffset
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from stins.cbf import CbfBinary, locate, unpack
from stins.errors import CbfError

SHAPE = (195, 487)
EXTREMES = (0, 1, -1, 127, 128, -127, -128, 32_767, -32_768, 32_768, 2**20, -(2**31), 2**31 - 1)


def cbf(pixels: NDArray[np.int32], *, packed: bytes | None = None, **replaced: str) -> bytes:
    """A file as a detector writes it; `replaced` changes lines of its header."""
    # int64: of int32, fabio 2026.6 packs the lowest value wrongly.
    content = compByteOffset(pixels.astype(np.int64)) if packed is None else packed
    header = (
        "###CBF: VERSION 1.5\r\n\r\n_array_data.data\r\n;\r\n--CIF-BINARY-FORMAT-SECTION--\r\n"
        'Content-Type: application/octet-stream;\r\n     conversions="x-CBF_BYTE_OFFSET"\r\n'
        f'X-Binary-Size: {len(content)}\r\nX-Binary-Element-Type: "signed 32-bit integer"\r\n'
        f"X-Binary-Number-of-Elements: {pixels.size}\r\nX-Binary-Size-Fastest-Dimension: {pixels.shape[1]}\r\n"
        f"X-Binary-Size-Second-Dimension: {pixels.shape[0]}\r\n\r\n"
    )
    for old, new in replaced.items():
        assert old in header
        header = header.replace(old, new)
    return header.encode() + b"\x0c\x1a\x04\xd5" + content + bytes(4095) + b"\r\n--CIF-BINARY-FORMAT-SECTION----\r\n;"


def random_image(mean: float, seed: int = 0) -> NDArray[np.int32]:
    image = np.random.default_rng(seed).poisson(mean, SHAPE).astype(np.int32)
    image[:, 240:247] = -1
    return image


@pytest.mark.parametrize("mean", [0.0, 0.1, 30.0, 3e3, 1e6])
def test_images_of_any_brightness_come_back(mean: float) -> None:
    image = random_image(mean)
    np.testing.assert_array_equal(unpack(cbf(image)), image)


def test_an_image_longer_than_a_block_comes_back() -> None:
    image = np.random.default_rng(1).integers(0, 2**20, (619, 487)).astype(np.int32)
    np.testing.assert_array_equal(unpack(cbf(image)), image)


@settings(deadline=None)
@given(arrays(np.int32, (4, 7), elements=st.sampled_from(EXTREMES) | st.integers(-(2**31), 2**31 - 1)))
def test_any_pixels_come_back(image: NDArray[np.int32]) -> None:
    np.testing.assert_array_equal(unpack(cbf(image)), image)


def test_what_fabio_writes_is_read(tmp_path: object) -> None:
    image = random_image(5.0)
    path = f"{tmp_path}/image.cbf"
    CbfImage(data=image).write(path)
    with open(path, "rb") as file:  # noqa: PTH123  # as fabio got it
        np.testing.assert_array_equal(unpack(file.read()), image)


def test_the_image_is_found_without_unpacking_it() -> None:
    content = cbf(random_image(1.0))
    binary = locate(memoryview(content))
    assert binary == CbfBinary(content.index(b"\x0c\x1a\x04\xd5") + 4, binary.size, SHAPE)


BAD = {
    "no image": (b"not a CBF file", "without the mark of a binary section"),
    "cut off": (cbf(random_image(1.0))[:40_000], "bytes of pixels, expected"),
    "no size": (cbf(random_image(1.0), **{"X-Binary-Size:": "X-Size:"}), "without X-Binary-Size"),
    "other type": (cbf(random_image(1.0), **{"signed 32-bit integer": "unsigned 8-bit integer"}), "unsigned 8-bit"),
    "other coding": (cbf(random_image(1.0), **{"x-CBF_BYTE_OFFSET": "x-CBF_PACKED"}), "x-CBF_PACKED"),
    "other shape": (cbf(random_image(1.0), **{"Dimension: 195": "Dimension: 200"}), "expected 200 x 487"),
    "too few": (cbf(random_image(1.0), packed=bytes(94_000)), "got 94000 pixels in 94000 bytes, expected 94965"),
    "too many": (cbf(random_image(1.0), packed=bytes(96_000)), "got more than 94965 pixels"),
    "an open end": (cbf(random_image(1.0), packed=bytes(94_964) + b"\x80\x00"), "does not end with"),
}


@pytest.mark.parametrize(("content", "problem"), BAD.values(), ids=BAD)
def test_a_damaged_file_is_refused_with_what_is_wrong(content: bytes, problem: str) -> None:
    with pytest.raises(CbfError, match=problem):
        unpack(content)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=300))
def test_no_bytes_at_all_do_more_than_be_refused(packed: bytes) -> None:
    try:
        pixels = unpack(cbf(np.zeros((5, 8), np.int32), packed=packed))
    except CbfError:
        return
    assert pixels.shape == (5, 8)
