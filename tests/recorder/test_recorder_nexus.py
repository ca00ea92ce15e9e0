"""What a file contains, and what the field's tools say of it."""

import contextlib
import io
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
import silx.io
from recorder_kit import DATA, IMAGE, SHAPE, Desk, compressed, image, module_parts
from silx.io import nxdata
from stins_recorder.series.series_file import SeriesFile

from stins import Acquisition, Detector, Part

with contextlib.redirect_stdout(io.StringIO()):
    from nexusformat.nexus.validate import validate_file

DETECTOR = "/entry/instrument/detector"
BSLZ4 = Part(name="threshold_1", shape=SHAPE, dtype="uint16", compression="bslz4")
LZ4 = Part(name="threshold_1", shape=SHAPE, dtype="uint16", compression="lz4")


def validate(path: Path) -> tuple[int, list[str]]:
    """nexusformat's number of errors, and its warnings that matter."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        _, errors = validate_file(str(path))
    text = re.sub(r"\x1b\[[0-9;]*m", "", said.getvalue())
    return errors, [line.strip() for line in text.splitlines() if "not present" in line or "ot match" in line]


def default_plot(path: Path) -> Any:
    with silx.io.open(str(path)) as file:
        plot = nxdata.get_default(file)
        assert plot is not None
        assert plot.is_valid
        return plot.signal.shape, [None if axis is None else axis.shape for axis in plot.axes], plot.interpretation


def complete(desk: Desk) -> tuple[int, ...]:
    desk.series("a.h5", range(4), frames_expected=4)
    return (4, *SHAPE)


def incomplete(desk: Desk) -> tuple[int, ...]:
    desk.start(frames_expected=9)
    desk.frames(0, 2)
    desk.give_up()
    return (3, *SHAPE)


def compressed_series(desk: Desk) -> tuple[int, ...]:
    desk.start(data=(Part(name="image", shape=SHAPE, dtype="uint16"),))
    for number in range(3):
        desk.frame(number, compressed(number, hdf5plugin.Bitshuffle()), data=(BSLZ4,))
    desk.end()
    return (3, *SHAPE)


def numbers_only(desk: Desk) -> tuple[int, ...]:
    desk.start(data=())
    for number in range(5):
        desk.frame(number, data=(), detector_specific={"frame_number": 3.5 + number, "charge": 1})
    desk.end()
    return (5,)


def empty(desk: Desk) -> tuple[int, ...]:
    desk.series("a.h5", ())
    return (0, *SHAPE)


def empty_without_a_word(desk: Desk) -> tuple[int, ...]:
    desk.series("a.h5", (), data=())
    return (0,)


@pytest.mark.parametrize("make", [complete, incomplete, compressed_series, numbers_only, empty, empty_without_a_word])
def test_validator_and_viewer_are_content(desk: Desk, make: Any) -> None:
    shape = make(desk)
    assert validate(desk.path) == (0, [])
    signal, axes, interpretation = default_plot(desk.path)
    assert signal == shape
    assert axes[0] == shape[:1]
    assert interpretation == ("image" if len(shape) == 3 else None)


def test_the_groups_stand_in_their_places_with_defaults_and_units(desk: Desk) -> None:
    desk.start(
        detector=Detector(description="EIGER", serial_number="E-1", x_pixel_size=75e-6, sensor_thickness=450e-6),
        acquisition=Acquisition(count_time=0.1, incident_energy=12398.419843320026, threshold_energy=(6200.0, 9000.0)),
        arm_time="2026-01-01T00:00:00Z",
    )
    desk.frames(0, 1)
    desk.end()
    with h5py.File(desk.path) as file:
        classes = {name: node.attrs["NX_class"] for name, node in walk(file) if "NX_class" in node.attrs}
        assert classes == {
            "/": "NXroot",
            "/entry": "NXentry",
            "/entry/data": "NXdata",
            "/entry/instrument": "NXinstrument",
            "/entry/instrument/beam": "NXbeam",
            "/entry/instrument/detector": "NXdetector",
            "/entry/instrument/detector/frame_specific": "NXcollection",
            "/entry/series": "NXcollection",
        }
        assert (file.attrs["default"], file["entry"].attrs["default"]) == ("entry", "data")
        data = file["/entry/data"]
        assert (data.attrs["signal"], list(data.attrs["axes"])) == ("data", ["frame_number", ".", "."])
        assert data["data"] == file[DATA]
        assert data["data"].attrs["target"] == DATA
        assert data["frame_number"][:].tolist() == [0, 1]
        detector = file[DETECTOR]
        units = {name: node.attrs["units"] for name, node in detector.items() if "units" in node.attrs}
        assert units == {
            "count_time": "s", "data": "counts", "sensor_thickness": "m", "threshold_energy": "eV", "x_pixel_size": "m",
        }  # fmt: skip
        assert detector["description"].asstr()[()] == "EIGER"
        assert detector["threshold_energy"][:].tolist() == [6200.0, 9000.0]
        assert detector["data"].attrs["part_names"].tolist() == ["image"]
        assert file["/entry/instrument/beam/incident_wavelength"][()] == pytest.approx(1.0)
        assert file["/entry/series/arm_time"].asstr()[()] == "2026-01-01T00:00:00Z"


def walk(file: h5py.File) -> Sequence[tuple[str, Any]]:
    found: list[tuple[str, Any]] = [("/", file)]
    file.visititems(lambda name, node: found.append((f"/{name}", node)))
    return found


def test_start_and_end_are_times_of_this_series(desk: Desk) -> None:
    complete(desk)
    with h5py.File(desk.path) as file:
        start, end = (datetime.fromisoformat(file[f"/entry/{n}"].asstr()[()]) for n in ("start_time", "end_time"))
    assert start <= end <= datetime.now(UTC)
    assert end - start < timedelta(minutes=1)


def test_a_file_whose_series_has_not_ended_has_no_end_time(desk: Desk) -> None:
    desk.start()
    desk.frames(0, 1)
    desk.recording.flush()
    with h5py.File(desk.path, "r", libver="latest", swmr=True, locking=False) as file:
        assert "end_time" not in file["entry"]
        assert file[DATA].shape[0] >= 2
    desk.end()
    with h5py.File(desk.path) as file:
        assert "end_time" in file["entry"]


def test_pixel_mask_and_flat_field_stand_in_the_detector(desk: Desk) -> None:
    mask = (np.arange(96).reshape(SHAPE) % 5).astype("<u4")
    flat = np.linspace(0.5, 1.5, 96, dtype="<f4").reshape(SHAPE)
    parts = (
        IMAGE,
        Part(name="pixel_mask", shape=SHAPE, dtype="uint32"),
        Part(name="flatfield", shape=SHAPE, dtype="float32"),
    )
    desk.series("a.h5", range(2), data=parts, payload=(mask.tobytes(), flat.tobytes()))
    with h5py.File(desk.path) as file:
        np.testing.assert_array_equal(file[f"{DETECTOR}/pixel_mask"], mask)
        np.testing.assert_array_equal(file[f"{DETECTOR}/flatfield"], flat)
        np.testing.assert_array_equal(file[DATA], [image(0), image(1)])


def test_a_compressed_mask_is_decoded_and_one_that_cannot_be_keeps_its_bytes(desk: Desk) -> None:
    raw = compressed(7, hdf5plugin.LZ4())
    parts = (
        Part(name="pixel_mask", shape=SHAPE, dtype="uint16", compression="lz4"),
        Part(name="flatfield", shape=SHAPE, dtype="mono12p"),
    )
    desk.series("a.h5", range(1), data=(IMAGE, *parts), payload=(raw, bytes(range(144))))
    with h5py.File(desk.path) as file:
        np.testing.assert_array_equal(file[f"{DETECTOR}/pixel_mask"], image(7))
        flat = file[f"{DETECTOR}/flatfield"]
        assert flat[:].tolist() == list(range(144))
        assert (flat.attrs["dtype"], flat.attrs["shape"].tolist()) == ("mono12p", list(SHAPE))


def test_nested_custom_meta_data_reads_back(desk: Desk) -> None:
    desk.start(detector_specific={"motors": {"theta": 1.5, "names": ["a", "b"], "none": None}, "big": 2**70, "a/b": 1})
    desk.frames(0)
    desk.end(detector_specific={"last": {"temperature": 21.5}})
    with h5py.File(desk.path) as file:
        custom = file[f"{DETECTOR}/detector_specific"]
        assert custom["motors/theta"][()] == 1.5
        assert custom["motors/names"].asstr()[()] == '["a","b"]'
        assert (custom["motors/none"].asstr()[()], custom["big"].asstr()[()]) == ("null", str(2**70))
        assert (custom["a_b"][()], custom["a_b"].attrs["key"]) == (1, "a/b")
        assert file[f"{DETECTOR}/detector_specific_end/last/temperature"][()] == 21.5
    assert validate(desk.path)[0] == 0


def test_values_that_hdf5_has_no_type_for_are_kept_as_text(desk: Desk) -> None:
    desk.start(source="nul\0", detector=Detector(bit_depth_readout=2**70, description="nul\0"))
    desk.frames(0)
    desk.end()
    with h5py.File(desk.path) as file:
        assert file[f"{DETECTOR}/bit_depth_readout"].asstr()[()] == str(2**70)
        assert file[f"{DETECTOR}/description"].asstr()[()] == '"nul\\u0000"'


def test_thresholds_are_a_dataset_each(desk: Desk) -> None:
    parts = tuple(Part(name=f"threshold_{i}", shape=SHAPE, dtype="uint16") for i in (1, 2))
    desk.start(data=parts)
    for number in range(2):
        desk.frame(number, image(number).tobytes(), image(100 + number).tobytes(), data=parts)
    desk.end()
    with h5py.File(desk.path) as file:
        np.testing.assert_array_equal(file[DATA], [image(0), image(1)])
        np.testing.assert_array_equal(file[f"{DETECTOR}/threshold_2"], [image(100), image(101)])
        assert file[DATA].attrs["part_names"].tolist() == ["threshold_1"]
    assert validate(desk.path) == (0, [])


def test_parts_of_different_size_grow_together(desk: Desk) -> None:
    parts = (Part(name="big", shape=(600, 600), dtype="uint64"), Part(name="small", shape=(2,), dtype="uint8"))
    desk.start(data=parts)
    for number in range(200):
        desk.frame(number, bytes(600 * 600 * 8), bytes([number, number]), data=parts)
    desk.end()
    assert (desk.account.state.value, desk.account.written) == ("complete", 200)
    with h5py.File(desk.path) as file:
        assert (len(file[DATA]), file[f"{DETECTOR}/small"][:, 0].tolist()) == (200, list(range(200)))


@pytest.mark.parametrize("compression", ["none", "bslz4"])
def test_modules_are_one_dataset_put_together(desk: Desk, compression: str) -> None:
    parts, frame = module_parts((2, 2), compression)
    contents = [
        image(i).tobytes() if compression == "none" else compressed(i, hdf5plugin.Bitshuffle()) for i in range(4)
    ]
    desk.start(data=module_parts((2, 2))[0], frame=frame)
    desk.frame(0, *contents, data=parts, frame=frame)
    desk.frame(1, *contents[:3], data=parts[:3], frame=frame)
    desk.end()
    assert (desk.account.written, desk.account.missing_frames) == (1, ((1, 1),))
    with h5py.File(desk.path) as file:
        assert (file[DATA].shape, file[DATA].chunks) == ((1, 16, 24), (1, *SHAPE))
        np.testing.assert_array_equal(file[DATA][0], np.block([[image(0), image(1)], [image(2), image(3)]]))


@pytest.mark.parametrize(("part", "filter_options"), [(BSLZ4, hdf5plugin.Bitshuffle()), (LZ4, hdf5plugin.LZ4())])
def test_compressed_chunks_are_stored_untouched_and_decode(desk: Desk, part: Part, filter_options: Any) -> None:
    sent = [compressed(number, filter_options) for number in range(3)]
    desk.start()
    for number, content in enumerate(sent):
        desk.frame(number, content, data=(part,))
    desk.end()
    with h5py.File(desk.path) as file:
        assert [file[DATA].id.read_direct_chunk((n, 0, 0))[1] for n in range(3)] == sent
        np.testing.assert_array_equal(file[DATA], [image(n) for n in range(3)])


def test_a_file_that_cannot_be_begun_leaves_nothing_behind(desk: Desk) -> None:
    part = Part(name="image", shape=SHAPE, dtype="uint16", compression="cbf")
    desk.series("a.h5", (), data=(part,))
    assert "cannot record dtype 'uint16' with compression 'cbf'" in desk.account.reason
    assert list(desk.root.glob("[!.]*")) == []


def test_a_file_is_created_exclusively(tmp_path: Path, desk: Desk) -> None:
    complete(desk)
    before = desk.path.read_bytes()
    with pytest.raises(Exception, match="stands already, and nothing is ever overwritten"):
        SeriesFile(desk.path, _start(), ())
    assert desk.path.read_bytes() == before


def _start() -> Any:
    from recorder_kit import header

    from stins import SeriesSender

    return SeriesSender().start(header("a.h5"))
