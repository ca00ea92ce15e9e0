"""The backend takes series from somebody else's simulator, whose frame is that of a real EIGER2 16M."""

import time
from collections.abc import Iterator
from typing import Any

import h5py
import hdf5plugin
import httpx
import numpy as np
import pytest
from stins_acquirers.backend import Ending, Frame, Opening
from stins_acquirers.bitshuffle import decode_part
from stins_acquirers.conformance import arm_request
from stins_acquirers.dectris import EigerBackend, EigerSettings

from stins import Part
from stins.control import ArmRequest, TriggerRequest
from tests.acquirers.dectris.tickit import RunningTickit, install_tickit, running_tickit

DEADLINE_S = 30.0


@pytest.fixture(scope="module")
def tickit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTickit]:
    folder = tmp_path_factory.mktemp("tickit")
    with running_tickit(install_tickit(folder), folder) as running:
        yield running


@pytest.fixture(params=["v2", "v1"])
def backend(tickit: RunningTickit, request: pytest.FixtureRequest) -> Iterator[EigerBackend]:
    ports = {"v1": tickit.v1_port, "v2": tickit.v2_port}
    settings: dict[str, Any] = {"exposure_s": 0.02, "answer_timeout_s": 2.0, "end_timeout_s": 1.0}
    version: Any = request.param
    backend = EigerBackend(
        EigerSettings(
            host="127.0.0.1", http_port=tickit.port, stream_port=ports[version], stream_version=version, **settings
        )
    )
    yield backend
    backend.close()


def take(backend: EigerBackend, request: ArmRequest, triggers: int = 1) -> tuple[Opening, list[Frame]]:
    """A whole series."""
    opening = backend.arm(request)
    frames: list[Frame] = []
    deadline = time.monotonic() + DEADLINE_S
    for number in range(triggers):
        backend.trigger(TriggerRequest())
        last = number == triggers - 1
        while (backend.ending() is None) if last else backend.triggered():
            assert time.monotonic() < deadline, f"got {len(frames)} frames and no end"
            frames += backend.read(0.1)
    ending = backend.ending()
    backend.disarm()
    assert ending == Ending()
    return opening, frames


def test_a_series_is_taken_whole(backend: EigerBackend) -> None:
    opening, frames = take(backend, arm_request(frames=3))
    assert [frame.number for frame in frames] == [0, 1, 2]
    assert opening.header.detector.sensor_shape == (4362, 4148)
    assert opening.header.data[0] == Part(name="threshold_1", shape=(4362, 4148), dtype="uint16")


def test_frames_count_on_over_several_triggers(backend: EigerBackend) -> None:
    _, frames = take(backend, arm_request("software", frames=2, triggers=2), triggers=2)
    assert [frame.number for frame in frames] == [0, 1, 2, 3]


def test_a_second_end_of_the_series_before_does_not_end_the_next(backend: EigerBackend, tickit: RunningTickit) -> None:
    take(backend, arm_request(frames=1))
    # Disarmed again, it sends another end.
    httpx.put(f"http://127.0.0.1:{tickit.port}/detector/api/1.8.0/command/disarm", trust_env=False)
    assert len(take(backend, arm_request(frames=2))[1]) == 2


def test_the_frame_of_a_real_detector_decodes_to_the_same_pixels_by_three_ways(backend: EigerBackend) -> None:
    _, (frame,) = take(backend, arm_request(frames=1))
    part, blob = frame.parts[0], bytes(frame.payload[0])
    pixels = decode_part(part, blob)
    with h5py.File("f", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("d", part.shape, "<u2", chunks=part.shape, compression=hdf5plugin.Bitshuffle())
        dataset.id.write_direct_chunk((0, 0), blob)
        np.testing.assert_array_equal(dataset[...], pixels)
    # Most of it is dark; gaps and dead pixels have the value that says so.
    assert 0.01 < float((pixels == 65_535).mean()) < 0.2
    assert float((pixels < 100).mean()) > 0.5
    vendor = pytest.importorskip("dectris.compression")
    vendors = np.frombuffer(vendor.decompress(blob, "bslz4", elem_size=2), "<u2").reshape(part.shape)
    np.testing.assert_array_equal(pixels, vendors)
