"""The numbers of frames against plain numpy."""

from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from recorder_kit import Desk
from stins_recorder.numbers.frames import Frames
from stins_recorder.numbers.reduce import Counted, reduce_frames
from stins_recorder.series.asked import write_asked

from stins import Detector, Part
from stins.control import NumbersRequest, Region

SHAPE = (4, 6)
REGION = Region(name="spot", row=1, column=2, rows=2, columns=3)
ALL = NumbersRequest(keys=("sum", "mean", "max", "saturated"), regions=(REGION,))


def plain(frame: "np.ndarray[Any, Any]", mask: "np.ndarray[Any, Any]", limit: float) -> dict[str, float]:
    """One frame, one step after the other."""
    found = {}
    for prefix, place in ("", np.s_[:, :]), ("spot_", np.s_[1:3, 2:5]):
        pixels = frame[place][mask[place] & np.isfinite(frame[place])].astype(object)
        found[f"{prefix}sum"] = float(sum(pixels))
        found[f"{prefix}mean"] = float(sum(pixels) / len(pixels)) if len(pixels) else np.nan
        found[f"{prefix}max"] = float(max(pixels)) if len(pixels) else np.nan
        found[f"{prefix}saturated"] = float(sum(pixel >= limit for pixel in pixels))
    return found


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<i4", "<u4", "<f4"])
@given(data=st.data())
def test_the_numbers_are_those_of_the_pixels_that_count(dtype: str, data: st.DataObject) -> None:
    finite = {"allow_nan": True, "allow_infinity": True, "width": 32} if dtype == "<f4" else {}
    elements = st.floats(**finite) if finite else None
    frames = data.draw(arrays(dtype, (3, *SHAPE), elements=elements), "frames")
    mask = data.draw(st.none() | arrays(bool, SHAPE), "mask")
    saturation = data.draw(st.none() | st.integers(0, 255).map(float), "saturation")
    limit = saturation if saturation is not None else np.inf if dtype == "<f4" else float(np.iinfo(dtype).max)

    found = reduce_frames(frames.copy(), ALL, Counted(mask, saturation))

    for row, frame in enumerate(frames):
        expected = plain(frame, np.ones(SHAPE, bool) if mask is None else mask, limit)
        got = {name: float(values[row]) for name, values in found.items()}
        assert got == pytest.approx(expected, rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("region", [Region(name="r", row=3, column=0, rows=2, columns=1), REGION])
def test_a_region_outside_the_frame_has_no_numbers(region: Region) -> None:
    frames = np.ones((2, 3, 4), "<u2")
    found = reduce_frames(frames, NumbersRequest(keys=("sum",), regions=(region,)), Counted())
    assert np.isnan(found[f"{region.name}_sum"]).all()
    assert found["sum"].tolist() == [12, 12]


def test_gaps_and_bad_pixels_of_a_counter_do_not_count() -> None:
    frames = np.array([[[7, 0, -1], [-2, 5, 9]], [[-1, -1, -1], [-2, -2, -2]]], "<i4")
    request = NumbersRequest(keys=("sum", "mean", "max", "saturated"))
    found = reduce_frames(frames, request, Counted(saturation=9, lowest=0))
    np.testing.assert_array_equal(found["sum"], [21, 0])
    np.testing.assert_array_equal(found["mean"], [21 / 4, np.nan])
    np.testing.assert_array_equal(found["max"], [9, np.nan])
    np.testing.assert_array_equal(found["saturated"], [1, 0])


def test_the_mark_of_a_bad_pixel_counts_as_saturated_only() -> None:
    frames = np.array([[[7, 65535, 100], [1, 2, 3]]], "<u2")
    request = NumbersRequest(keys=("sum", "mean", "max", "saturated"))
    found = {
        name: float(values[0])
        for name, values in reduce_frames(frames, request, Counted(None, 100, marks=True)).items()
    }
    assert found == {"sum": 113, "mean": 113 / 5, "max": 100, "saturated": 2}


@pytest.mark.parametrize(("dtype", "lowest", "marks"), [("int32", 0, False), ("uint16", None, True)])
def test_what_does_not_count_is_what_the_detector_says(desk: Desk, dtype: str, lowest: float, marks: bool) -> None:
    part = Part(name="image", shape=(1, 3), dtype=dtype)
    desk.start("a.h5", data=(part,), detector=Detector(saturation_value=9, underload_value=0))
    desk.frame(0, np.zeros(3, dtype).tobytes(), data=(part,))
    desk.end()
    with h5py.File(desk.path, "r+") as file:
        write_asked(file, desk.path, ALL)
    counted = Frames(desk.path).read(0, 1, over=True).counted
    assert counted[""] == Counted(mask=None, saturation=9, lowest=lowest, marks=marks)
