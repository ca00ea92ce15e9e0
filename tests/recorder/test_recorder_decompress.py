"""Pixels of a part, off the hot path."""

import hdf5plugin
import numpy as np
import pytest
from recorder_kit import SHAPE, compressed, image
from stins_recorder.errors import RecorderError
from stins_recorder.pixels.decompress import pixels

from stins import Part


def part(compression: str, dtype: str = "uint16") -> Part:
    return Part(name="image", shape=SHAPE, dtype=dtype, compression=compression)


def test_what_every_reader_of_the_file_gets() -> None:
    np.testing.assert_array_equal(pixels(part("none"), image(3).tobytes()), image(3))
    np.testing.assert_array_equal(pixels(part("bslz4"), compressed(3, hdf5plugin.Bitshuffle())), image(3))
    np.testing.assert_array_equal(pixels(part("lz4"), compressed(3, hdf5plugin.LZ4())), image(3))


def test_bytes_that_do_not_decode_are_an_error() -> None:
    broken = compressed(3, hdf5plugin.Bitshuffle())[:12] + b"\xff" * 40
    with pytest.raises(OSError, match="filter"):
        pixels(part("bslz4"), broken)


def test_a_kind_that_is_not_recorded_has_no_pixels_either() -> None:
    with pytest.raises(RecorderError, match="mono12p"):
        pixels(part("none", "mono12p"), bytes(144))
