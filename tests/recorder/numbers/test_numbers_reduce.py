"""The numbers of frames against plain numpy."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from stins_recorder.numbers.reduce import Counted, reduce_frames

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
