"""Files that claim NXmx: what the field's reader finds in them, and what its validator says."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import h5py
import numpy as np
import nxmx
import pytest
import silx.io
from nxmx_kit import DETECTOR, OMEGA, OMEGA_PATH, entry_of, is_valid, is_valid_nxmx, meta_data, omegas, place_of, scan
from recorder_kit import IMAGE, SHAPE, Desk, image, module_parts
from silx.io import nxdata
from stins_recorder.salvage.process import Order
from stins_recorder.salvage.work import salvage

from stins import UNSET, Axis, Beamline, Part

TWO_THETA = Axis(name="two_theta", start=90.0, vector=(0.0, -1.0, 0.0))


def test_a_file_with_a_whole_geometry_claims_nxmx_and_the_validator_finds_no_error(desk: Desk) -> None:
    path = scan(desk)
    with h5py.File(path) as file:
        assert file["/entry/definition"].asstr()[()] == "NXmx"
        assert "nxmx_missing" not in file["/entry/series"]
    assert is_valid_nxmx(path)


def test_the_fields_reader_finds_wavelength_detector_and_module(desk: Desk) -> None:
    with entry_of(scan(desk)) as entry:
        (instrument,) = entry.instruments
        (detector,) = instrument.detectors
        (module,) = detector.modules
        assert instrument.beams[0].incident_wavelength.to("angstrom").magnitude == pytest.approx(1.0)
        assert (instrument.name, instrument.short_name, entry.source.name) == ("BioMAX", "X11", "MAX IV")
        assert entry.samples[0].name == "lysozyme"
        assert (module.data_origin.tolist(), module.data_size.tolist()) == ([0, 0], list(SHAPE))
        assert module.fast_pixel_direction[0].to("mm").magnitude == pytest.approx(0.075)
        assert module.fast_pixel_direction.vector.tolist() == [-1, 0, 0]
        assert module.slow_pixel_direction.vector.tolist() == [0, -1, 0]
        assert (detector.sensor_material, detector.sensor_thickness.to("mm").magnitude) == ("Si", pytest.approx(0.45))
        assert (detector.bit_depth_readout, detector.saturation_value) == (16, 60000)
        assert (detector.frame_time.to("s").magnitude, detector.count_time.to("s").magnitude) == (0.01, 0.009)
        np.testing.assert_array_equal(detector.data, [image(n) for n in range(4)])


def test_a_viewer_shows_the_frames_of_such_a_file(desk: Desk) -> None:
    with silx.io.open(str(scan(desk))) as file:
        plot = nxdata.get_default(file)
        assert (plot.is_valid, plot.signal.shape, plot.interpretation) == (True, (4, *SHAPE), "image")


# -- where the pixels are ---------------------------------------------------------------------------


def test_the_chain_ends_where_the_detector_stands(desk: Desk) -> None:
    with entry_of(scan(desk)) as entry:
        (detector,) = entry.instruments[0].detectors
        assert place_of(detector.depends_on) == pytest.approx([0, 0, 200])
        assert detector.distance.to("mm").magnitude == pytest.approx(200)
        assert detector.distance_derived is False


def test_the_first_pixel_is_as_far_from_the_beam_as_its_centre_says(desk: Desk) -> None:
    with entry_of(scan(desk)) as entry:
        (detector,) = entry.instruments[0].detectors
        # 4.5 pixels to the left and 3 above where the beam hits, as the sample sees it: +x and +y.
        assert place_of(detector.modules[0].module_offset) == pytest.approx([4.5 * 0.075, 3 * 0.075, 200])
        centre = detector.beam_center_x, detector.beam_center_y
        assert [str(length.units) for length in centre] == ["pixel", "pixel"]


def test_a_detector_that_lies_on_its_side_says_so(desk: Desk) -> None:
    turned = {"fast_direction": (0.0, 2.0, 0.0), "slow_direction": (-1.0, 0.0, 0.0)}
    with entry_of(scan(desk, **turned)) as entry:
        (module,) = entry.instruments[0].detectors[0].modules
        assert module.fast_pixel_direction.vector.tolist() == [0, 1, 0]
        assert place_of(module.module_offset) == pytest.approx([3 * 0.075, -4.5 * 0.075, 200])


def test_a_beam_at_the_first_pixel_leaves_no_offset(desk: Desk) -> None:
    path = scan(desk, beam_center_x=0.0, beam_center_y=0.0)
    with entry_of(path) as entry:
        (module,) = entry.instruments[0].detectors[0].modules
        assert place_of(module.module_offset) == pytest.approx([0, 0, 200])
    assert is_valid_nxmx(path)


def test_an_arm_carries_the_detector_about_the_sample(desk: Desk) -> None:
    path = scan(desk, detector_axes=(TWO_THETA,))
    with entry_of(path) as entry:
        # From 200 mm behind the sample, 90 degrees about an axis downwards: to its right.
        assert place_of(entry.instruments[0].detectors[0].depends_on) == pytest.approx([-200, 0, 0])
    assert is_valid_nxmx(path)


def test_a_frame_in_a_grid_of_modules_is_one_image(desk: Desk) -> None:
    parts, frame = module_parts((2, 2))
    desk.start(**meta_data(data=parts, frame=frame))
    desk.frame(0, *[image(i).tobytes() for i in range(4)], data=parts, frame=frame)
    desk.end()
    with entry_of(desk.path) as entry:
        (detector,) = entry.instruments[0].detectors
        assert detector.modules[0].data_size.tolist() == list(detector.data.shape[1:]) == [16, 24]
    assert is_valid_nxmx(desk.path)


# -- how the sample turns ---------------------------------------------------------------------------


def test_the_sample_turns_by_the_increment_from_frame_to_frame(desk: Desk) -> None:
    with entry_of(scan(desk)) as entry:
        axes = nxmx.get_rotation_axes(nxmx.get_dependency_chain(entry.samples[0].depends_on))
        assert (axes.names.tolist(), axes.is_scan_axis.tolist()) == (["omega"], [True])
        assert axes.axes.tolist() == [[-1, 0, 0]]
        omega = entry.samples[0].depends_on
        assert omega[:].to("deg").magnitude == pytest.approx([30.0, 30.1, 30.2, 30.3])
        assert omega.increment_set.to("deg").magnitude == pytest.approx(0.1)


def test_the_goniometer_is_a_chain_from_the_sample_to_the_floor(desk: Desk) -> None:
    phi, chi = Axis(name="phi", start=5.0, vector=(0.0, 1.0, 0.0)), Axis(name="chi", start=0.0)
    path = scan(desk, goniometer=(phi, chi, OMEGA))
    with entry_of(path) as entry:
        axes = nxmx.get_rotation_axes(nxmx.get_dependency_chain(entry.samples[0].depends_on))
        # Nobody knows how chi turns; at 0 that makes no difference.
        assert (axes.names.tolist(), axes.is_scan_axis.tolist()) == (["phi", "omega"], [False, True])
        assert axes.angles.tolist() == [5, 30]
        assert entry["sample/transformations/chi"][()] == 0
    assert is_valid_nxmx(path)


def test_a_sample_on_no_goniometer_depends_on_nothing(desk: Desk) -> None:
    path = scan(desk, goniometer=UNSET)
    with entry_of(path) as entry:
        assert entry.samples[0].depends_on is None
        assert entry["sample/depends_on"].asstr()[()] == "."
    assert is_valid_nxmx(path)


def test_a_lost_frame_keeps_its_angle_and_a_discarded_one_takes_its_own_along(desk: Desk) -> None:
    desk.start(**meta_data())
    desk.frame(0)
    desk.lose(1)
    desk.frame(2, discard=True)
    desk.frame(3)
    desk.end()
    desk.give_up_gaps()
    with h5py.File(desk.path) as file:
        assert file[f"{DETECTOR}/sequence_number"][:].tolist() == [0, 2, 3]
    # The empty row has the number of one of the two frames that are not there, and the angle that goes with it.
    assert omegas(desk.path) == [30.0, 30.2, 30.3]


def test_a_frame_that_is_taken_again_has_the_same_angle(desk: Desk) -> None:
    desk.start(**meta_data())
    desk.frames(0, 1, 2)
    desk.recording.flush()
    desk.frame(1, retake=True)
    desk.frame(2)
    desk.end()
    assert omegas(desk.path) == [30.0, 30.1, 30.2]


def test_rows_of_a_gap_that_is_too_wide_to_be_numbered_have_no_angle(desk: Desk) -> None:
    desk.start(**meta_data())
    desk.frame(0)
    for number in range(1, 6000):
        desk.lose(number)
    desk.frame(6000)
    desk.end()
    desk.give_up_gaps()
    with h5py.File(desk.path) as file:
        angles = file[OMEGA_PATH][:]
    assert np.flatnonzero(~np.isnan(angles)).tolist() == [0, 6000]
    assert angles[6000] == pytest.approx(630)


def test_a_reader_sees_the_angles_of_a_series_that_runs(desk: Desk) -> None:
    desk.start(**meta_data())
    desk.frames(0, 1, 2)
    desk.recording.flush()
    with h5py.File(desk.path, "r", libver="latest", swmr=True, locking=False) as file:
        rows = int(file["/entry/series/rows"][()])
        assert file[OMEGA_PATH][:rows] == pytest.approx([30.0, 30.1, 30.2])
        assert np.isnan(file[OMEGA_PATH][rows:]).all()
        assert file["/entry/sample/depends_on"].asstr()[()] == OMEGA_PATH
    desk.end()


def test_a_scan_without_any_frame_is_valid_and_stands_at_its_start(desk: Desk) -> None:
    path = scan(desk, ())
    with h5py.File(path) as file:
        assert file[OMEGA_PATH][()] == 30.0
    assert is_valid_nxmx(path)


# -- times and names --------------------------------------------------------------------------------


def test_the_end_is_estimated_when_the_series_starts(desk: Desk) -> None:
    with entry_of(scan(desk, frames_expected=4)) as entry:
        assert entry.end_time_estimated - entry.start_time == timedelta(seconds=0.04)
        assert entry.start_time <= entry.end_time
        assert entry["start_time"].asstr()[()].endswith("Z")


@pytest.mark.parametrize("changes", [{"frames_expected": 2**53 - 1}, {"frame_time": UNSET, "count_time": UNSET}])
def test_an_end_that_nobody_can_estimate_is_the_start(desk: Desk, changes: dict[str, object]) -> None:
    with entry_of(scan(desk, **changes)) as entry:
        assert entry.end_time_estimated == entry.start_time


def test_names_that_nobody_gave_are_unknown(desk: Desk) -> None:
    path = scan(desk, beamline=UNSET)
    with entry_of(path) as entry:
        assert (entry.source.name, entry.instruments[0].name, entry.samples[0].name) == ("unknown",) * 3
    assert is_valid_nxmx(path)


def test_no_series_is_lost_for_a_name_that_hdf5_has_no_form_for(desk: Desk) -> None:
    path = scan(desk, beamline=Beamline(name="a\0b", short_name="a\0b", sample_name="\0", time_zone="\0"))
    with h5py.File(path) as file:
        assert file["/entry/instrument/name"].attrs["short_name"] == "a\\0b"
        assert file["/entry/sample/name"].asstr()[()] == '"\\u0000"'


def test_what_is_known_of_the_beam_has_its_place(desk: Desk) -> None:
    beamline = Beamline(
        total_flux=2e12,
        beam_size=(20e-6, 5e-6),
        beam_profile="top-hat",
        polarization_stokes=(1.0, 1.0, 0.0, 0.0),
        time_zone="Europe/Stockholm",
    )
    path = scan(desk, beamline=beamline)
    with entry_of(path) as entry:
        (instrument,) = entry.instruments
        (beam,) = instrument.beams
        assert beam.total_flux.to("1/s").magnitude == 2e12
        assert beam.incident_beam_size.to("um").magnitude == pytest.approx([20, 5])
        assert beam.profile == "top-hat"
        assert beam["incident_polarization_stokes"][:].tolist() == [[1, 1, 0, 0]]
        there = datetime.fromisoformat(instrument.time_zone.asstr()[()])
        assert there.utcoffset() in (timedelta(hours=1), timedelta(hours=2))
        assert there == entry.start_time
    assert is_valid_nxmx(path)


def test_a_time_zone_that_nobody_knows_is_kept_as_it_was_given(desk: Desk) -> None:
    path = scan(desk, beamline=Beamline(time_zone="Mars/Olympus"))
    with h5py.File(path) as file:
        assert file["/entry/instrument/time_zone"].asstr()[()] == "Mars/Olympus"
    assert is_valid_nxmx(path)


# -- and where something is missing -----------------------------------------------------------------


def test_a_file_that_lacks_something_does_not_claim_and_says_what(desk: Desk) -> None:
    path = scan(desk, distance=0.0)
    with h5py.File(path) as file:
        assert "definition" not in file["/entry"]
        assert file["/entry/series/nxmx_missing"].asstr()[:].tolist() == ["acquisition.distance"]
        assert "module" not in file[DETECTOR]
        # What is known has its place all the same.
        assert file["/entry/instrument/name"].asstr()[()] == "BioMAX"
        assert file["/entry/instrument/source/name"].asstr()[()] == "MAX IV"
        assert file["/entry/sample/depends_on"].asstr()[()] == OMEGA_PATH
    assert omegas(path) == [30.0, 30.1, 30.2, 30.3]
    assert is_valid(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"incident_energy": UNSET},
        {"detector_axes": (Axis(name="two_theta", start=10.0),)},
        {"goniometer": (Axis(name="omega", start=0.0, increment=0.5),)},
        {"data": (Part(name="image", shape=(1, *SHAPE), dtype="uint16"),)},
    ],
)
def test_a_file_that_does_not_claim_is_valid_by_its_base_classes(desk: Desk, changes: dict[str, object]) -> None:
    path = scan(desk, (), **changes)
    with h5py.File(path) as file:
        assert "definition" not in file["/entry"]
    assert is_valid(path)


def test_an_axis_of_the_name_of_another_thing_takes_nobodys_place(desk: Desk) -> None:
    chain = (Axis(name="detector_z", start=0.0), Axis(name="a", start=0.0, increment=1.0, vector=(1, 0, 0)))
    path = scan(desk, detector_axes=(*chain, Axis(name="a_increment_set", start=7.0, vector=(1, 0, 0))))
    with entry_of(path) as entry:
        assert entry["instrument/detector/depends_on"].asstr()[()].endswith("/detector_z_")
        assert entry["instrument/detector/transformations/a_increment_set"][()] == 7
    assert is_valid_nxmx(path)


def test_a_second_image_takes_no_place_of_the_geometry(desk: Desk) -> None:
    names = ("image", "module", "transformations", "low_channel")
    parts = tuple(Part(name=name, shape=SHAPE, dtype="uint16") for name in names)
    desk.start(**meta_data(data=parts))
    desk.frame(0, *[IMAGE.name.encode().ljust(192)] * 4, data=parts)
    desk.end()
    with h5py.File(desk.path) as file:
        assert {"data", "module_", "transformations_", "low_channel_"} <= {*file[DETECTOR]}
    assert is_valid_nxmx(desk.path)


# -- after a death ----------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [{}, {"frames_expected": 5}])
def test_the_file_of_a_dead_recorder_has_the_angles_of_its_frames(
    desk: Desk, tmp_path: Path, known: dict[str, int]
) -> None:
    desk.start(**meta_data(**known))
    desk.frames(0, 1)
    desk.lose(2)
    desk.frames(3, 4)
    desk.give_up_gaps()
    desk.recording.flush()
    left = shutil.copy(desk.path, tmp_path / "left.h5")
    desk.end()
    assert salvage(Order(str(left), "it died", given_up=True)).found == "salvaged"
    assert omegas(left) == [30.0, 30.1, 30.2, 30.3, 30.4]
    assert is_valid_nxmx(left)
