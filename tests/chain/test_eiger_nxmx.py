"""A rotation scan of a simulated EIGER2, through real processes, as crystallographers' programs read it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  # registers the filters
import nxmx
import pytest
from nexusformat.nexus.validate import validate_application
from stins_recorder.check.file import check_file

from stins.control import SeriesState
from stins_ophyd import Controller
from stins_ophyd.processes import DaemonProcess
from tests.acquirers.simulate_kit import RunningEiger, running_eiger

DETECTOR = "/entry/instrument/detector"
FRAMES = 6
CHANNELS = ("threshold_1", "threshold_2", "difference")
AROUND = {
    "beamline": {"name": "BioMAX", "short_name": "X11", "source_name": "MAX IV", "time_zone": "Europe/Stockholm"},
    "geometry": {"axis_vectors": {"omega": [-1, 0, 0]}},
}


#: Where what the detector says of itself, of the series and of each frame is looked for.
PLACES = (
    "pixel_mask", "flatfield", "saturation_value", "threshold_energy", "countrate_correction_applied",
    "bit_depth_image", "bit_depth_readout", "sensor_material", "sensor_thickness", "x_pixel_size", "y_pixel_size",
    "beam_center_x", "beam_center_y", "distance", "count_time", "frame_time", "serial_number", "description",
    "frame_specific/stop_time", "frame_specific/real_time", "start_time",
)  # fmt: skip


@pytest.fixture(scope="module")
def eiger() -> Iterator[RunningEiger]:
    with running_eiger(model="eiger2-1m") as running:
        yield running


@contextmanager
def chain(eiger: RunningEiger, folder: Path, stream: str, **settings: Any) -> Iterator[Controller]:
    """Acquirer and recorder of that detector, and what drives them."""
    port = eiger.v2_port if stream == "v2" else eiger.v1_port
    own = {"host": "127.0.0.1", "http_port": eiger.port, "stream_version": stream, "stream_port": port}
    scan = {"exposure_s": 0.01, "incident_energy": 12398.4, "distance": 0.2, "beam_center_x": 510.5,
            "beam_center_y": 530.0, "more": {"omega_start": 15.0, "omega_increment": 0.25}}  # fmt: skip
    config = {"name": "eiger", "backend": "eiger", "settings": {**own, **scan, **settings}, **AROUND}
    with ExitStack() as stack:
        acquirer = stack.enter_context(DaemonProcess("acquirer", config))
        recorder = stack.enter_context(
            DaemonProcess("recorder", {"roots": [str(folder)], "sources": [acquirer.ready.stream]})
        )
        yield stack.enter_context(Controller(acquirer.ready.control, recorder.ready.control))


@pytest.mark.parametrize("stream", ["v2", "v1"])
def test_the_file_of_a_scan_claims_nxmx_and_breaks_no_rule(eiger: RunningEiger, tmp_path: Path, stream: str) -> None:
    with chain(eiger, tmp_path, stream) as controller:
        controller.arm("scan.nxs", frames_per_trigger=FRAMES, triggers=1, metadata={"sample_name": "lysozyme"})
        account = controller.wait_for(controller.trigger())
        controller.disarm()
    assert account.state is SeriesState.COMPLETE
    assert validate_application(account.file)[1] == 0
    report = check_file(Path(account.file), decode=True, timeout_s=60, watch=lambda _step: None)
    assert report.findings.listed == []
    with h5py.File(account.file) as file:
        (entry,) = nxmx.NXmx(file).entries
        (instrument,), (sample,) = entry.instruments, entry.samples
        (detector,) = instrument.detectors
        assert (instrument.short_name, entry.source.name, sample.name) == ("X11", "MAX IV", "lysozyme")
        assert instrument.beams[0].incident_wavelength.to("angstrom").magnitude == pytest.approx(1, rel=1e-5)
        assert sample.depends_on[:].to("deg").magnitude == pytest.approx([15 + 0.25 * n for n in range(FRAMES)])
        chain_of_pixels = nxmx.get_dependency_chain(detector.modules[0].module_offset)
        place = nxmx.get_cumulative_transformation(chain_of_pixels)[0, :3, 3]
        assert place == pytest.approx([510.5 * 0.075, 530 * 0.075, 200])
        assert detector.data.shape == (FRAMES, *detector.modules[0].data_size)
        assert detector.pixel_mask.shape == detector.data.shape[1:]
        # Of stream v1 it comes as pairs.
        table = {"v2": "countrate_correction_lookup_table", "v1": "countrate_correction_table"}[stream]
        assert [name for name in (*PLACES, table) if name not in file[DETECTOR]] == []
        starts = file[f"{DETECTOR}/start_time"]
        assert starts.attrs["units"] == "ns"
        assert (starts[1:] - starts[:-1] > 0).all()


def test_two_thresholds_and_what_lies_between_have_their_channels(eiger: RunningEiger, tmp_path: Path) -> None:
    channels = {"threshold_1_energy": 6200.0, "threshold_2_energy": 9000.0, "threshold_2_enabled": True}
    with chain(eiger, tmp_path, "v2", difference_enabled=True, **channels) as controller:
        controller.arm("channels.nxs", frames_per_trigger=2, triggers=1)
        account = controller.wait_for(controller.trigger())
        controller.disarm()
    assert validate_application(account.file)[1] == 0
    with h5py.File(account.file) as file:
        detector = file[DETECTOR]
        energies = {name: detector[f"{name}_channel/threshold_energy"][()].tolist() for name in CHANNELS}
        assert energies == {"threshold_1": 6200, "threshold_2": 9000, "difference": [6200, 9000]}
        assert detector["threshold_energy"][:].tolist() == [6200, 9000]
        assert [detector[name].shape[0] for name in ("data", "threshold_2", "difference")] == [2, 2, 2]
        for name in ("pixel_mask", "flatfield"):
            assert detector[name] == detector[f"threshold_1_channel/{name}"]
