"""Numbers of frames that have several images each, in one file or in data files."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from recorder_kit import SHAPE, Desk, image
from stins_recorder.numbers.messages import Done, Work
from stins_recorder.numbers.series_numbers import SeriesNumbers
from stins_recorder.series.asked import write_asked

from stins import Acquisition, Channel, Part
from stins.control import NumbersRequest, Region

IMAGES = tuple(Part(name=f"threshold_{number}", shape=SHAPE, dtype="uint16") for number in (1, 2))
MASKS = tuple(Part(name=f"pixel_mask.threshold_{number}", shape=SHAPE, dtype="uint8") for number in (1, 2))
ASKED = NumbersRequest(
    keys=("sum", "saturated"),
    regions=(Region(name="spot", row=0, column=0, rows=2, columns=2),),
    channels=("threshold_2", "difference"),
)


def mask(number: int) -> "np.ndarray":
    """One row of pixels is bad, in each channel another one."""
    found = np.zeros(SHAPE, np.uint8)
    found[number] = 1
    return found


@pytest.mark.parametrize("frames_per_file", [None, 2])
def test_each_image_of_a_frame_has_its_own(tmp_path: Path, frames_per_file: int | None) -> None:
    desk = Desk(tmp_path, frames_per_file=frames_per_file)
    acquisition = Acquisition(channels={"threshold_2": Channel(saturation_value=100 + 2000)})
    masks = [mask(number).tobytes() for number in (1, 2)]
    desk.start("two.h5", masks, data=(*IMAGES, *MASKS), acquisition=acquisition)
    for number in range(3):
        desk.frame(number, image(number).tobytes(), image(100 + number).tobytes(), data=IMAGES)
    desk.end()
    with h5py.File(desk.path, "r+") as file:
        write_asked(file, desk.path, ASKED)

    numbers = SeriesNumbers(desk.path)
    done = Done(file="")
    while not done.complete:
        done = numbers.advance(Work(file=str(desk.path), rows=3, over=True))
    numbers.close()

    with h5py.File(desk.path) as file:
        found = {name: column[()] for name, column in file["/entry/frame_numbers"].items()}
        assert file["/entry/frame_numbers/threshold_2_spot_sum"].attrs["channel"] == "threshold_2"
    for prefix, base, number in ("", 0, 1), ("threshold_2_", 100, 2):
        frames, good = [image(base + frame) for frame in range(3)], mask(number) == 0
        np.testing.assert_array_equal(found[f"{prefix}sum"], [frame[good].sum(dtype=int) for frame in frames])
        spots = [frame[:2, :2][good[:2, :2]].sum(dtype=int) for frame in frames]
        np.testing.assert_array_equal(found[f"{prefix}spot_sum"], spots)
    assert found["saturated"].tolist() == [0, 0, 0]
    good = mask(2) == 0
    saturated = [(image(100 + frame)[good] >= 2100).sum() for frame in range(3)]
    assert found["threshold_2_saturated"].tolist() == saturated
    # Frames have no such image.
    assert np.isnan(found["difference_sum"]).all()
    assert done.values["threshold_2_sum"] == found["threshold_2_sum"][2]
    assert "difference_sum" not in done.values
