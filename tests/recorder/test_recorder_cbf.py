"""Frames that come as CBF files."""

import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from fabio.cbfimage import CbfImage
from recorder_kit import DATA, NUMBERS, Desk, balanced
from stins_recorder.errors import RecorderError
from stins_recorder.pixels.decompress import pixels

from stins import FrameLayout, Part

SHAPE = (20, 30)
IMAGE = Part(name="image", shape=SHAPE, dtype="int32")
CBF = Part(name="image", shape=SHAPE, dtype="int32", compression="cbf")


def photons(number: int) -> "np.ndarray[tuple[int, int], np.dtype[np.int32]]":
    image = np.random.default_rng(number).poisson(50, SHAPE).astype(np.int32)
    image[:, 14:16] = -1
    return image


def cbf_file(number: int, shape: tuple[int, int] = SHAPE) -> bytes:
    """As fabio writes it."""
    with tempfile.NamedTemporaryFile(suffix=".cbf") as file:
        CbfImage(data=np.resize(photons(number), shape)).write(file.name)
        return Path(file.name).read_bytes()


@pytest.fixture
def desk(desk: Desk) -> Desk:
    desk.start(data=(IMAGE,), frames_expected=3)
    return desk


def test_their_pixels_are_stored(desk: Desk) -> None:
    for number in range(3):
        desk.frame(number, cbf_file(number), data=(CBF,))
    desk.end()
    assert balanced(desk.account).written == 3
    with h5py.File(desk.path) as file:
        assert (file[DATA].dtype, file[DATA].compression) == (np.dtype("<i4"), None)
        np.testing.assert_array_equal(file[DATA], [photons(number) for number in range(3)])


def test_a_damaged_one_is_refused_by_name_and_the_series_goes_on(desk: Desk) -> None:
    desk.frame(0, cbf_file(0), data=(CBF,))
    desk.frame(1, cbf_file(1)[:900], data=(CBF,))
    desk.frame(2, cbf_file(2), data=(CBF,))
    desk.end()
    assert (desk.account.written, desk.account.missing_frames, desk.account.refused) == (2, ((1, 1),), 1)
    assert "frame 1: part 'image': its CBF file cannot be read: got " in desk.account.reason
    with h5py.File(desk.path) as file:
        assert list(file[NUMBERS]) == [0, 1, 2]


def test_a_damaged_first_one_does_not_keep_the_others_out(desk: Desk) -> None:
    desk.frame(0, b"no CBF file", data=(CBF,))
    desk.frame(1, cbf_file(1), data=(CBF,))
    desk.end(frames_total=2)
    assert (desk.account.written, desk.account.missing_frames[0]) == (1, (0, 0))


def test_an_image_of_another_size_is_refused(desk: Desk) -> None:
    desk.frame(0, cbf_file(0, (20, 31)), data=(CBF,))
    desk.end()
    assert "got a CBF image of [20, 31], expected [20, 30]" in desk.account.reason


def test_files_and_pixels_may_take_turns(desk: Desk) -> None:
    desk.frame(0, cbf_file(0), data=(CBF,))
    desk.frame(1, photons(1).tobytes(), data=(IMAGE,))
    desk.frame(2, cbf_file(2), data=(CBF,))
    desk.end()
    with h5py.File(desk.path) as file:
        np.testing.assert_array_equal(file[DATA], [photons(number) for number in range(3)])


def test_modules_may_be_a_file_each(tmp_path_factory: pytest.TempPathFactory) -> None:
    desk = Desk(tmp_path_factory.mktemp("modules"))
    frame = FrameLayout(shape=(2, *SHAPE), chunks=(1, *SHAPE))
    announced = tuple(Part(name=f"m{n}", shape=(1, *SHAPE), dtype="int32", offset=(n, 0, 0)) for n in range(2))
    sent = tuple(
        Part(name=f"m{n}", shape=(1, *SHAPE), dtype="int32", offset=(n, 0, 0), compression="cbf") for n in range(2)
    )
    desk.start(data=announced, frame=frame)
    desk.frame(0, cbf_file(0), cbf_file(1), data=sent, frame=frame)
    desk.end()
    with h5py.File(desk.path) as file:
        np.testing.assert_array_equal(file[DATA][0], [photons(0), photons(1)])


def test_a_preview_has_the_same_pixels() -> None:
    np.testing.assert_array_equal(pixels(CBF, cbf_file(4)), photons(4))


def test_another_dtype_is_refused_by_name() -> None:
    with pytest.raises(RecorderError, match="got dtype uint16 with compression cbf, expected int32"):
        pixels(Part(name="image", shape=SHAPE, dtype="uint16", compression="cbf"), cbf_file(0))
