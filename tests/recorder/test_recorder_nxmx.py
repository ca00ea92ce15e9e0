"""Files that claim NXmx, by what the field's readers find in them; and when a file may claim it."""

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np
import nxmx
import pytest
from recorder_kit import IMAGE, SHAPE, Desk, image
from stins_recorder.geometry import geometry_of, missing_for_nxmx

from stins import Acquisition, Axis, Beamline, Channel, Detector, FrameLayout, Part, SeriesHeader, SeriesSender

with contextlib.redirect_stdout(io.StringIO()):
    from nexusformat.nexus.validate import validate_application, validate_file

DETECTOR = "/entry/instrument/detector"
MM = nxmx.ureg.mm
#: An EIGER as a beamline has it: 0.2 m behind the sample, which turns by 0.1 degrees a frame.
EIGER = Detector(
    description="Dectris EIGER2 Si 16M",
    sensor_material="Si",
    sensor_thickness=450e-6,
    x_pixel_size=75e-6,
    y_pixel_size=75e-6,
    bit_depth_readout=16,
    saturation_value=60000,
)
OMEGA = Axis(name="omega", start=30.0, increment=0.1, vector=(-1.0, 0.0, 0.0))
SCAN = Acquisition(
    count_time=0.009,
    frame_time=0.01,
    incident_energy=12398.419843320026,
    threshold_energy=(6000.0,),
    distance=0.2,
    beam_center_x=4.5,
    beam_center_y=3.0,
    goniometer=(OMEGA,),
)
BEAMLINE = Beamline(name="BioMAX", short_name="X11", source_name="MAX IV", sample_name="lysozyme")


def scan(desk: Desk, numbers: Sequence[int] = range(4), **changes: Any) -> Path:
    """A recorded series; keys of Acquisition and Detector may stand among the changes."""
    keys = {field.name for field in msgspec.structs.fields(Acquisition)}
    acquisition = {key: changes.pop(key) for key in keys & {*changes}}
    values = {"detector": EIGER, "acquisition": msgspec.structs.replace(SCAN, **acquisition), "beamline": BEAMLINE}
    desk.start(**{**values, **changes})
    desk.frames(*numbers)
    desk.end()
    return desk.path


def errors(path: Path, validate: Any = validate_application) -> tuple[int, str]:
    """nexusformat's number of errors, and what it said."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        _, count = validate(str(path))
    return count, re.sub(r"\x1b\[[0-9;]*m", "", said.getvalue())


@contextlib.contextmanager
def entry_of(path: Path) -> Iterator[nxmx.NXentry]:
    """The one NXmx entry, as the field's reader has it."""
    with h5py.File(path) as file:
        (entry,) = nxmx.NXmx(file).entries
        yield entry


def place_of(axis: nxmx.NXtransformationsAxis) -> np.ndarray:
    """Where the chain puts the origin of the axis, in mm."""
    chain = nxmx.get_dependency_chain(axis)
    return nxmx.get_cumulative_transformation(chain)[0, :3, 3]


def test_a_file_with_a_whole_geometry_claims_nxmx_and_the_validator_finds_no_error(desk: Desk) -> None:
    path = scan(desk)
    with h5py.File(path) as file:
        assert file["/entry/definition"].asstr()[()] == "NXmx"
        assert "nxmx_missing" not in file["/entry/series"]
    assert errors(path)[0] == 0, errors(path)[1]


def test_the_fields_reader_finds_wavelength_detector_and_module(desk: Desk) -> None:
    with entry_of(scan(desk)) as entry:
        (instrument,), (detector,) = entry.instruments, entry.instruments[0].detectors
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
        np.testing.assert_array_equal(detector.data, [image(n) for n in range(4)])


def test_the_chain_ends_where_the_detector_stands(desk: Desk) -> None:
    with entry_of(scan(desk)) as entry:
        (detector,) = entry.instruments[0].detectors
        assert place_of(detector.depends_on) == pytest.approx([0, 0, 200])
        assert detector.distance.to("mm").magnitude == pytest.approx(200)
        # 4.5 pixels to the left and 3 above where the beam hits, as the sample sees it: +x and +y.
        first_pixel = place_of(detector.modules[0].module_offset)
        assert first_pixel == pytest.approx([4.5 * 0.075, 3 * 0.075, 200])


def test_the_sample_turns_by_the_increment_from_frame_to_frame(desk: Desk) -> None:
    with entry_of(scan(desk)) as entry:
        axes = nxmx.get_rotation_axes(nxmx.get_dependency_chain(entry.samples[0].depends_on))
        assert (axes.names.tolist(), axes.is_scan_axis.tolist()) == (["omega"], [True])
        assert axes.axes.tolist() == [[-1, 0, 0]]
        omega = entry.samples[0].depends_on
        assert omega[:].to("deg").magnitude == pytest.approx([30.0, 30.1, 30.2, 30.3])
        assert omega.increment_set.to("deg").magnitude == pytest.approx(0.1)
