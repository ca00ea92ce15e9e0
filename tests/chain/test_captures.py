"""Real detectors' streams through real processes, against an independent reading of the capture."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import cbor2
import h5py
import hdf5plugin  # noqa: F401  # registers the filters
import lz4.block
import numpy as np
import nxmx
import pytest
import silx.io.nxdata
from nexusformat.nexus.validate import validate_application, validate_file

from stins.control import SeriesState, SeriesStatus
from stins_ophyd import Controller, ControllerError
from stins_ophyd.processes import DaemonProcess

DETECTOR = "/entry/instrument/detector"


def messages_of(path: Path) -> list[list[bytes]]:
    """The capture's messages, each a list of ZeroMQ parts, by a reader of the test's own."""
    content = path.read_bytes()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            content = archive.read(archive.namelist()[0])
    stream, messages = io.BytesIO(content), []
    decoder = cbor2.CBORDecoder(stream)
    while stream.tell() < len(content):
        value = decoder.decode()
        if isinstance(value, list):
            messages.append(value)
        else:
            ((_, (_, parts)),) = [(name, tag.value) for name, tag in value.value[1].items()]
            messages.append(parts)
    return messages


def decode_bslz4(chunk: bytes, shape: tuple[int, int]) -> np.ndarray:
    """Bitshuffle-LZ4 of uint32 by lz4 and numpy alone: blocks of 8 KiB, bits transposed in each."""
    size, block = int.from_bytes(chunk[:8], "big"), int.from_bytes(chunk[8:12], "big")
    pixels, position = b"", 12
    while size - len(pixels) >= 32:  # eight pixels: what bitshuffle works on; fewer are appended as they are
        raw = min(block, (size - len(pixels)) // 32 * 32)
        length = int.from_bytes(chunk[position : position + 4], "big")
        shuffled = lz4.block.decompress(chunk[position + 4 : position + 4 + length], uncompressed_size=raw)
        bits = np.unpackbits(np.frombuffer(shuffled, np.uint8), bitorder="little").reshape(32, -1)
        pixels += np.packbits(bits.T.reshape(-1), bitorder="little").tobytes()
        position += 4 + length
    return np.frombuffer(pixels + chunk[position : position + size - len(pixels)], "<u4").reshape(shape)


def record(folder: Path, capture: Path, frames: int, **config: Any) -> tuple[SeriesStatus, str | None]:
    """Replays a capture into a file, as a beamline would; the recorder's account and the error, if any."""
    settings = {"capture": str(capture), "pace": "fast"}
    replayed = {"name": "replayed", "backend": "replay", "settings": settings, **config}
    with (
        DaemonProcess("acquirer", replayed) as acquirer,
        DaemonProcess("recorder", {"roots": [str(folder)], "sources": [acquirer.ready.stream]}) as recorder,
        Controller(acquirer.ready.control, recorder.ready.control) as controller,
    ):
        controller.arm("captured.nxs", triggers=frames)
        try:
            return controller.wait_for(controller.trigger()), None
        except ControllerError as failed:
            return controller.snapshot.recorder.series, str(failed)


@pytest.fixture(scope="module")
def eiger_capture(captures: Path) -> Path:
    return captures / "eiger1-1M-stream-v1.zip"


@pytest.fixture(scope="module")
def recorded(eiger_capture: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[SeriesStatus, str | None]:
    """The EIGER's series, whose file the tests only read."""
    return record(tmp_path_factory.mktemp("eiger"), eiger_capture, 9)


def test_the_eiger_stream_stands_in_the_file_as_it_came(recorded, eiger_capture):
    messages = messages_of(eiger_capture)
    account, error = recorded
    assert account.state is SeriesState.INCOMPLETE
    assert (account.received, account.written, account.missing_frames) == (9, 9, ((9, 99_999),))
    assert "the capture ends without dseries_end-1.0" in account.reason
    assert "99991 frames are missing" in error
    with h5py.File(account.file) as file:
        dataset = file[f"{DETECTOR}/data"]
        assert (dataset.shape, dataset.dtype) == ((9, 1065, 1030), np.dtype("<u4"))
        for number, parts in enumerate(messages[1:]):
            assert dataset.id.read_direct_chunk((number, 0, 0)) == (0, parts[2])
            np.testing.assert_array_equal(dataset[number], decode_bslz4(parts[2], (1065, 1030)))
        assert file["/entry/series/outcome"][()] == b"incomplete"
        assert "the capture ends" in file["/entry/series/reason"][()].decode()
        assert file["/entry/series/missing_frames"][:].tolist() == [[9, 99_999]]


def test_the_eigers_meta_data_have_their_nexus_places_and_units(recorded, eiger_capture):
    header = messages_of(eiger_capture)[0]
    config = json.loads(header[1])
    account, _ = recorded
    with h5py.File(account.file) as file:
        detector = file[DETECTOR]
        np.testing.assert_array_equal(detector["flatfield"][:], np.frombuffer(header[3], "<f4").reshape(1065, 1030))
        np.testing.assert_array_equal(detector["pixel_mask"][:], np.frombuffer(header[5], "<u4").reshape(1065, 1030))
        energy = file["/entry/instrument/beam/incident_energy"]
        assert (energy[()], energy.attrs["units"]) == (config["photon_energy"], "eV")
        for key, units in {"count_time": "s", "frame_time": "s", "sensor_thickness": "m", "x_pixel_size": "m"}.items():
            assert (detector[key][()], detector[key].attrs["units"]) == (config[key], units)
        assert (detector["threshold_energy"][0], detector["threshold_energy"].attrs["units"]) == (4000.0, "eV")
        assert detector["sensor_material"][()] == b"Si"
        stored = detector["detector_specific/config"]
        assert stored.keys() == config.keys()
        assert stored["eiger_fw_version"][()].decode() == config["eiger_fw_version"]
    _, errors = validate_file(account.file)[:2]
    assert errors == 0
    plot = silx.io.nxdata.get_default(silx.io.open(account.file))
    assert (plot.is_valid, plot.signal.shape, plot.interpretation) == (True, (9, 1065, 1030), "image")


def test_the_eigers_frames_have_their_times_in_nexus_place(recorded, eiger_capture):
    times = [json.loads(parts[3]) for parts in messages_of(eiger_capture)[1:]]
    account, _ = recorded
    with h5py.File(account.file) as file:
        for key in ("start_time", "stop_time", "real_time"):
            field = file[f"{DETECTOR}/{key}"]
            assert (field[:].tolist(), field.attrs["units"]) == ([time[key] for time in times], "ns")


def test_the_eiger_was_not_told_where_it_stands_and_its_file_claims_nothing(recorded):
    account, _ = recorded
    with h5py.File(account.file) as file:
        assert "definition" not in file["entry"]
        assert file["/entry/series/nxmx_missing"].asstr()[:].tolist() == [
            "acquisition.distance", "acquisition.beam_center_x", "acquisition.beam_center_y",
        ]  # fmt: skip


def test_with_a_configured_geometry_the_eigers_file_is_one_that_crystallographers_read(tmp_path, eiger_capture):
    geometry = {"distance": 0.25, "beam_center_x": 515.5, "beam_center_y": 532.0}
    beamline = {"name": "I19", "source_name": "DLS", "sample_name": "empty"}
    account, _ = record(tmp_path, eiger_capture, 9, geometry=geometry, beamline=beamline)
    assert validate_application(account.file)[1] == 0
    with h5py.File(account.file) as file:
        (entry,) = nxmx.NXmx(file).entries
        (instrument,), (sample,) = entry.instruments, entry.samples
        (detector,) = instrument.detectors
        assert (instrument.name, entry.source.name, sample.name) == ("I19", "DLS", "empty")
        assert instrument.beams[0].incident_wavelength.to("angstrom").magnitude == pytest.approx(1.5498024804150032)
        chain = nxmx.get_dependency_chain(detector.modules[0].fast_pixel_direction)
        first_pixel = nxmx.get_cumulative_transformation(chain[1:])[0, :3, 3]
        assert first_pixel == pytest.approx([515.5 * 0.075, 532 * 0.075, 250])
        assert detector.modules[0].data_size.tolist() == [1065, 1030]
        assert int(np.count_nonzero(detector.pixel_mask)) == 38129
        assert (detector.bit_depth_image, detector.pixel_mask_applied) == (32, True)


def test_the_electrometers_numbers_are_recorded_without_any_image(tmp_path, captures):
    capture = captures / "electrometer-stins-v1.cbors"
    rows = [json.loads(parts[0]) for parts in messages_of(capture)[1:-1]]
    account, error = record(tmp_path, capture, len(rows))
    assert (account.state, account.written, error) == (SeriesState.COMPLETE, 4, None)
    with h5py.File(account.file) as file:
        detector = file[DETECTOR]
        assert detector["sequence_number"][:].tolist() == [0, 1, 2, 3]
        assert detector["timestamp"][:].tolist() == [row["timestamp"] for row in rows]
        assert detector["acquisition_timestamp"][:].tolist() == [row["acquisition_timestamp"] for row in rows]
        for channel in ("channel1", "channel2", "channel3", "channel4"):
            assert detector[f"frame_specific/{channel}"][:].tolist() == [row[channel] for row in rows]
        assert not detector["detector_specific_end/read_overflow"][()]
    _, errors = validate_file(account.file)[:2]
    assert errors == 0
    assert silx.io.nxdata.get_default(silx.io.open(account.file)).is_valid
