"""What the NXdetector group says: settings with their units, channels, arrays, and the times of frames."""

from typing import Any

import h5py
import numpy as np
import pytest
from nxmx_kit import DETECTOR, is_valid, is_valid_nxmx, meta_data
from recorder_kit import IMAGE, SHAPE, Desk, image

from stins import Acquisition, Channel, Detector, Part

LOW, HIGH, BETWEEN = (
    Part(name=name, shape=SHAPE, dtype="uint16") for name in ("threshold_1", "threshold_2", "difference")
)
TIMES = {"start_time": "ns", "stop_time": "ns", "real_time": "ns", "current": "A"}


def mask(value: int) -> bytes:
    return np.full(SHAPE, value, "<u4").tobytes()


def test_settings_stand_under_the_names_and_units_of_nexus(desk: Desk) -> None:
    desk.start(
        detector=Detector(detector_readout_time=1e-7, dead_time=2e-7, underload_value=0),
        acquisition=Acquisition(bit_depth_image=16, flatfield_applied=True, virtual_pixel_interpolation_applied=False),
    )
    desk.frames(0)
    desk.end()
    with h5py.File(desk.path) as file:
        detector = file[DETECTOR]
        units = {name: node.attrs["units"] for name, node in detector.items() if "units" in node.attrs}
        assert units == {"data": "counts", "detector_readout_time": "s", "dead_time": "s"}
        assert (detector["bit_depth_image"][()], detector["underload_value"][()]) == (16, 0)
        applied = detector["flatfield_applied"], detector["virtual_pixel_interpolation_applied"]
        assert [(field.dtype, field[()]) for field in applied] == [(bool, True), (bool, False)]
    assert is_valid(desk.path)


def channels(desk: Desk, *arrays: Part, payload: Any = ()) -> h5py.File:
    """A series with two thresholds and what lies between them."""
    own = {
        "threshold_1": Channel(threshold_energy=(6000.0,), saturation_value=65000, pixel_mask_applied=True),
        "threshold_2": Channel(threshold_energy=(9000.0,)),
        "difference": Channel(threshold_energy=(6000.0, 9000.0)),
    }
    parts = (LOW, HIGH, BETWEEN)
    desk.start(**meta_data(threshold_energy=(6000.0, 9000.0), channels=own, data=(*parts, *arrays)), payload=payload)
    desk.frame(0, *[image(i).tobytes() for i in range(3)], data=parts)
    desk.end()
    assert is_valid_nxmx(desk.path)
    return h5py.File(desk.path)


def test_a_channel_has_a_group_with_what_it_has_of_its_own(desk: Desk) -> None:
    with channels(desk) as file:
        low, between = (file[f"{DETECTOR}/{name}_channel"] for name in ("threshold_1", "difference"))
        assert low.attrs["NX_class"] == "NXdetector_channel"
        assert (low["threshold_energy"][()], low["threshold_energy"].attrs["units"]) == (6000, "eV")
        assert (low["saturation_value"][()], low["pixel_mask_applied"][()]) == (65000, True)
        assert between["threshold_energy"][:].tolist() == [6000, 9000]
        assert file[f"{DETECTOR}/threshold_energy"][:].tolist() == [6000, 9000]
        assert {"data", "threshold_2", "difference"} <= {*file[DETECTOR]}


def test_each_channel_keeps_its_mask_and_the_detector_shows_that_of_its_first_image(desk: Desk) -> None:
    masks = [Part(name=f"pixel_mask.{part.name}", shape=SHAPE, dtype="uint32") for part in (HIGH, LOW)]
    with channels(desk, *masks, payload=(mask(2), mask(1))) as file:
        detector = file[DETECTOR]
        assert detector["threshold_1_channel/pixel_mask"][0, 0] == 1
        assert detector["threshold_2_channel/pixel_mask"][0, 0] == 2
        assert detector["pixel_mask"] == detector["threshold_1_channel/pixel_mask"]
        assert "pixel_mask" not in detector["difference_channel"]


def test_a_mask_of_all_channels_stays_the_detectors(desk: Desk) -> None:
    masks = [Part(name=name, shape=SHAPE, dtype="uint32") for name in ("pixel_mask", "pixel_mask.threshold_1")]
    with channels(desk, *masks, payload=(mask(8), mask(1))) as file:
        assert (file[f"{DETECTOR}/pixel_mask"][0, 0], file[f"{DETECTOR}/threshold_1_channel/pixel_mask"][0, 0]) == (
            8,
            1,
        )


def test_an_array_of_a_channel_that_says_nothing_else_makes_its_group(desk: Desk) -> None:
    flat = Part(name="flatfield.image", shape=SHAPE, dtype="float32")
    desk.series("a.h5", range(1), data=(IMAGE, flat), payload=(np.ones(SHAPE, "<f4").tobytes(),))
    with h5py.File(desk.path) as file:
        assert file[f"{DETECTOR}/image_channel"].attrs["NX_class"] == "NXdetector_channel"
        assert file[f"{DETECTOR}/flatfield"][0, 0] == 1
    assert is_valid(desk.path)


@pytest.mark.parametrize(
    ("shape", "name"), [((96,), "countrate_correction_lookup_table"), ((48, 2), "countrate_correction_table")]
)
def test_the_count_rate_table_has_the_place_of_its_form(desk: Desk, shape: tuple[int, ...], name: str) -> None:
    table = np.arange(96, dtype="<f4").reshape(shape)
    part = Part(name="countrate_correction_table", shape=shape, dtype="float32")
    desk.series("a.h5", range(1), data=(IMAGE, part), payload=(table.tobytes(),))
    with h5py.File(desk.path) as file:
        np.testing.assert_array_equal(file[f"{DETECTOR}/{name}"], table)
    assert is_valid(desk.path)


# -- numbers that come with the frames --------------------------------------------------------------


def with_times(desk: Desk, units: dict[str, str] = TIMES) -> h5py.File:
    desk.start(acquisition=Acquisition(frame_units=units))
    for number in range(3):
        begin = 4_843_213_806_960 + number * 10**9
        values = {"start_time": begin, "stop_time": begin + 10**6, "real_time": 999_990, "current": 0.5}
        desk.frame(number, detector_specific=values)
    desk.end()
    return h5py.File(desk.path)


def test_start_stop_and_real_time_are_nanoseconds_in_nexus_place(desk: Desk) -> None:
    with with_times(desk) as file:
        detector = file[DETECTOR]
        assert detector["start_time"][:].tolist() == [4_843_213_806_960 + n * 10**9 for n in range(3)]
        assert detector["real_time"][:].tolist() == [999_990] * 3
        for name in ("start_time", "stop_time", "real_time"):
            assert detector[name] == detector[f"frame_specific/{name}"]
            assert detector[name].attrs["units"] == "ns"
    assert is_valid(desk.path)


def test_a_number_of_the_frame_has_the_unit_that_the_source_gives(desk: Desk) -> None:
    with with_times(desk) as file:
        assert file[f"{DETECTOR}/frame_specific/current"].attrs["units"] == "A"
        assert "current" not in file[DETECTOR]


def test_a_start_time_of_no_known_unit_stays_among_the_others(desk: Desk) -> None:
    with with_times(desk, {"start_time": "ticks"}) as file:
        assert "start_time" not in file[DETECTOR]
        assert file[f"{DETECTOR}/frame_specific/start_time"].attrs["units"] == "ticks"
        assert "units" not in file[f"{DETECTOR}/frame_specific/stop_time"].attrs
