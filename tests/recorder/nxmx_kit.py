"""A detector with a whole geometry, for tests of files that claim NXmx, and what reads them."""

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
from recorder_kit import Desk

from stins import Acquisition, Axis, Beamline, Detector

with contextlib.redirect_stdout(io.StringIO()):
    from nexusformat.nexus.validate import validate_application, validate_file

DETECTOR = "/entry/instrument/detector"
OMEGA_PATH = "/entry/sample/transformations/omega"
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


def meta_data(**changes: Any) -> dict[str, Any]:
    """What a series-start says of that detector; keys of Acquisition may stand among the changes."""
    keys = {field.name for field in msgspec.structs.fields(Acquisition)}
    acquisition = {key: changes.pop(key) for key in keys & {*changes}}
    values = {"detector": EIGER, "acquisition": msgspec.structs.replace(SCAN, **acquisition), "beamline": BEAMLINE}
    return {**values, **changes}


def scan(desk: Desk, numbers: Sequence[int] = range(4), **changes: Any) -> Path:
    """A recorded series."""
    desk.start(**meta_data(**changes))
    desk.frames(*numbers)
    desk.end()
    return desk.path


def found_by(validate: Any, path: Path) -> tuple[int, str]:
    """nexusformat's number of errors, and what it said."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        _, count = validate(str(path))
    return count, re.sub(r"\x1b\[[0-9;]*m", "", said.getvalue())


def is_valid_nxmx(path: Path) -> bool:
    """Whether nexusformat's validation for NXmx finds no error; the assertion shows them."""
    errors, said = found_by(validate_application, path)
    assert errors == 0, said
    return True


def is_valid(path: Path) -> bool:
    """The same for the base classes alone."""
    errors, said = found_by(validate_file, path)
    assert errors == 0, said
    return True


@contextlib.contextmanager
def entry_of(path: Path) -> Iterator[nxmx.NXentry]:
    """The one NXmx entry, as the field's reader has it."""
    with h5py.File(path) as file:
        (entry,) = nxmx.NXmx(file).entries
        yield entry


def place_of(axis: nxmx.NXtransformationsAxis) -> "np.ndarray[Any, Any]":
    """Where the chain puts the origin of the axis, in mm."""
    chain = nxmx.get_dependency_chain(axis)
    return nxmx.get_cumulative_transformation(chain)[0, :3, 3]


def omegas(path: Path) -> list[float]:
    """The angle in each row."""
    with h5py.File(path) as file:
        return [round(float(angle), 6) for angle in file[OMEGA_PATH][:]]
