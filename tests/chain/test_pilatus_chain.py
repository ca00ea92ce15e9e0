"""A PILATUS from its folder to the file, through real processes; fabio says what its images are."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import fabio
import h5py
import hdf5plugin  # noqa: F401  # registers the filters
import numpy as np
import nxmx
import pytest
from nexusformat.nexus.validate import validate_application
from stins_acquirers.simulate.camserver import PilatusOptions, Simulator

from stins.control import SeriesState
from stins_ophyd import Controller
from stins_ophyd.processes import DaemonProcess

DATA = "/entry/instrument/detector/data"
DEADLINE_S = 20.0


SCAN = {
    "incident_energy": 12_000,
    "distance": 0.2,
    "beam_center_x": 60.5,
    "beam_center_y": 50.0,
    "sensor_thickness": 0.00045,
    "mx_settings": {"Oscillation_axis": "OMEGA", "Start_angle": 15, "Angle_increment": 0.25},
}
AROUND = {
    "beamline": {"name": "BioMAX", "source_name": "MAX IV"},
    "geometry": {"axis_vectors": {"omega": [-1, 0, 0]}},
}


class Chain:
    """Detector, acquirer, recorder and controller."""

    def __init__(self, stack: ExitStack, folder: Path, files: Path) -> None:
        self._files = 0
        options = PilatusOptions(folder=folder, model="pilatus3-300k", shape=(100, 120), pool=3, threshold_s=0.0)
        self.folder = folder
        self.camserver = stack.enter_context(Simulator(options))
        settings = {"port": self.camserver.port, "folder": str(folder), "exposure_s": 0.01, **SCAN}
        config = {"name": "pilatus", "backend": "pilatus", "settings": settings, **AROUND}
        acquirer = stack.enter_context(DaemonProcess("acquirer", config))
        recorder = stack.enter_context(
            DaemonProcess(
                "recorder", {"roots": [str(files)], "sources": [acquirer.ready.stream], "acks": [*acquirer.ready.acks]}
            )
        )
        self.controller = stack.enter_context(Controller(acquirer.ready.control, recorder.ready.control))

    def arm(self, **request: Any) -> None:
        """A series with a file of its own."""
        self._files += 1
        self.controller.arm(f"{self._files}.h5", **request)

    def record(self, **request: Any) -> Path:
        """One series; its file, which is complete."""
        self.arm(**request)
        account = self.controller.wait_for(self.controller.trigger())
        assert account.state is SeriesState.COMPLETE, account
        return Path(account.file or "")

    def wait_until_empty(self) -> None:
        """Until all images are deleted."""
        deadline, pause = time.monotonic() + DEADLINE_S, threading.Event()
        while left := list(self.folder.iterdir()):
            assert time.monotonic() < deadline, left
            pause.wait(0.02)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("chain")
    (folder / "files").mkdir()
    with ExitStack() as stack:
        yield Chain(stack, folder / "ramdisk", folder / "files")


@pytest.mark.parametrize(("compression", "filters"), [("cbf", []), ("none", []), ("bslz4", [32008])])
def test_the_file_has_the_pixels_of_the_images(chain: Chain, compression: str, filters: list[int]) -> None:
    chain.controller.configure({"compression": compression})
    path = chain.record(triggers=5)
    with h5py.File(path) as file:
        dataset = file[DATA]
        properties = dataset.id.get_create_plist()
        assert [properties.get_filter(n)[0] for n in range(properties.get_nfilters())] == filters
        assert (dataset.shape, dataset.dtype) == ((5, 100, 120), np.dtype("<i4"))
        np.testing.assert_array_equal(dataset, [chain.camserver.pixels(number) for number in range(5)])
    chain.wait_until_empty()


def test_the_pixels_are_those_that_fabio_reads(chain: Chain, tmp_path: Path) -> None:
    path = chain.record(triggers=3)
    image = tmp_path / "image.cbf"
    with h5py.File(path) as file:
        recorded = file[DATA][1]
        remarks = file["/entry/instrument/detector/frame_specific/notes"][:].tobytes().decode()
    image.write_bytes(chain.camserver.image_file(1))
    np.testing.assert_array_equal(fabio.open(str(image)).data, recorded)
    assert "Detector: PILATUS3 300K" in remarks


def test_pulses_of_a_cable_are_recorded(chain: Chain) -> None:
    chain.arm(trigger_mode="external", triggers=3)
    assert chain.camserver.trigger(3) == 3
    account = chain.controller.wait_for(chain.controller.trigger())
    assert (account.state, account.written) == (SeriesState.COMPLETE, 3)


def test_the_file_of_a_scan_claims_nxmx(chain: Chain) -> None:
    path = chain.record(triggers=3, metadata={"sample_name": "lysozyme"})
    assert validate_application(str(path))[1] == 0
    with h5py.File(path) as file:
        (entry,) = nxmx.NXmx(file).entries
        (detector,) = entry.instruments[0].detectors
        assert detector.description == "PILATUS3 300K, S/N 00-0000"
        assert entry.samples[0].depends_on[:].to("deg").magnitude == pytest.approx([15.0, 15.25, 15.5])


def test_the_file_says_what_was_set(chain: Chain) -> None:
    chain.controller.configure({"incident_energy": 12_000, "threshold_energy": 7_000})
    with h5py.File(chain.record(triggers=2)) as file:
        detector = file["/entry/instrument/detector"]
        assert file["/entry/instrument/beam/incident_energy"][()] == 12_000
        assert detector["threshold_energy"][:].tolist() == [7_000]
        assert (detector["count_time"][()], detector["vendor"][()]) == (0.01, b"DECTRIS")
        assert detector["saturation_value"][()] == 1_221_026
