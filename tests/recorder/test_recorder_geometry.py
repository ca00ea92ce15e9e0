"""What a series-start says of the geometry, and what it lacks for NXmx. Values only."""

from math import hypot, inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, structs
from nxmx_kit import EIGER, OMEGA, meta_data
from recorder_kit import IMAGE, SHAPE, header
from stins_recorder.nexus.geometry import Geometry, direction, geometry_of, missing_for_nxmx

from stins import Axis, FrameLayout, Part, SeriesSender, SeriesStart


def start(**changes: Any) -> SeriesStart:
    return SeriesSender().start(header("a.h5", **meta_data(**changes)))


def test_a_whole_geometry_lacks_nothing() -> None:
    assert missing_for_nxmx(start()) == ()
    assert geometry_of(start()) == Geometry(
        image_shape=SHAPE,
        pixel_size=(75e-6, 75e-6),
        beam_center=(4.5, 3.0),
        distance=0.2,
        fast=(-1.0, 0.0, 0.0),
        slow=(0.0, -1.0, 0.0),
    )


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"distance": UNSET}, "acquisition.distance"),
        ({"distance": -0.2}, "acquisition.distance"),
        ({"beam_center_x": UNSET}, "acquisition.beam_center_x"),
        ({"beam_center_y": UNSET}, "acquisition.beam_center_y"),
        ({"incident_energy": 0.0}, "acquisition.incident_energy"),
        ({"detector": structs.replace(EIGER, x_pixel_size=UNSET)}, "detector.x_pixel_size"),
        ({"detector": structs.replace(EIGER, y_pixel_size=0.0)}, "detector.y_pixel_size"),
        ({"detector": structs.replace(EIGER, sensor_material="")}, "detector.sensor_material"),
        ({"detector": structs.replace(EIGER, sensor_thickness=0.0)}, "detector.sensor_thickness"),
        ({"slow_direction": (2.0, 0.0, 0.0)}, "acquisition.fast_direction, slow_direction"),
        ({"fast_direction": (0.0, 0.0, 0.0)}, "acquisition.fast_direction, slow_direction"),
        ({"goniometer": (structs.replace(OMEGA, vector=UNSET),)}, "acquisition.goniometer.omega.vector"),
        ({"goniometer": (structs.replace(OMEGA, vector=(0.0, 0.0, 0.0)),)}, "acquisition.goniometer.omega.vector"),
        ({"detector_axes": (Axis(name="arm", start=1.0),)}, "acquisition.detector_axes.arm.vector"),
        ({"data": UNSET}, "data"),
        ({"data": (Part(name="image", shape=(2, *SHAPE), dtype="uint16"),)}, "data"),
        ({"data": (Part(name="pixel_mask", shape=SHAPE, dtype="uint32"),)}, "data"),
    ],
)
def test_what_is_missing_is_named(changes: dict[str, Any], missing: str) -> None:
    assert missing_for_nxmx(start(**changes)) == (missing,)


def test_a_series_that_says_nothing_lacks_everything() -> None:
    assert missing_for_nxmx(SeriesSender().start(header("a.h5", data=()))) == (
        "data",
        "detector.x_pixel_size",
        "detector.y_pixel_size",
        "acquisition.distance",
        "acquisition.beam_center_x",
        "acquisition.beam_center_y",
        "detector.sensor_material",
        "detector.sensor_thickness",
        "acquisition.incident_energy",
    )


def test_the_image_is_the_first_part_or_the_whole_frame() -> None:
    mask = Part(name="pixel_mask.image", shape=(2, 2), dtype="uint32")
    assert geometry_of(start(data=(mask, IMAGE))).image_shape == SHAPE
    module = Part(name="module_1", shape=(3, 4), dtype="uint16", offset=(0, 0))
    whole = FrameLayout(shape=(6, 8), chunks=(3, 4))
    assert geometry_of(start(data=(module,), frame=whole)).image_shape == (6, 8)


def test_what_is_not_known_of_the_beam_leaves_the_geometry_known() -> None:
    assert geometry_of(start(incident_energy=UNSET)) == geometry_of(start())


@given(st.tuples(*[st.floats(allow_nan=False)] * 3))
def test_a_direction_has_the_length_1_or_is_none(vector: tuple[float, float, float]) -> None:
    found = direction(vector)
    if found is None:
        assert not 1e-300 < hypot(*vector) < inf
    else:
        assert sum(component**2 for component in found) == pytest.approx(1)
