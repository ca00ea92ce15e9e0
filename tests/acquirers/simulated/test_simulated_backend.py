"""The simulated detector keeps what every backend has to keep, its times, and its frames' honesty."""

import io
import time
from collections.abc import Iterator
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stins_acquirers.backend import Backend
from stins_acquirers.bitshuffle import decode_part
from stins_acquirers.compress import bslz4_chunk
from stins_acquirers.conformance import BackendConformance, arm_request, read_frames
from stins_acquirers.simulated import SimulatedBackend, SimulatedSettings

from stins import Part, StinsError
from stins.control import TriggerRequest

SMALL = {"shape": (16, 24), "pool": 3}


def simulated(**changes: Any) -> SimulatedBackend:
    return SimulatedBackend(SimulatedSettings(**{**SMALL, **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"compression": "bslz4", "dtype": "int32"},
        {"modules": 3, "dtype": "float32", "compression": "bslz4", "numbers": True},
        {"period_s": 0.002, "series_arrays": True},
    ],
    ids=["as fast as it goes", "compressed", "three modules", "with a period"],
)
class TestSimulated(BackendConformance):
    trigger_modes = ("internal", "software", "external")
    bad_setting = {"exposure_s": -1}

    @pytest.fixture
    def backend(self, changes: dict[str, Any]) -> Iterator[Backend]:
        backend = simulated(**changes)
        yield backend
        backend.close()


def test_it_can_wait_only_as_fast_as_it_goes() -> None:
    assert (simulated().can_wait, simulated(period_s=0.01).can_wait) == (True, False)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "int16", "int64", "float32", "float64"])
def test_frames_are_positive_counts_of_their_dtype_with_the_mean_that_was_asked_for(dtype: str) -> None:
    backend = simulated(dtype=dtype, photons=5, shape=(64, 64))
    pixels = np.load(io.BytesIO(backend.reference(0)))
    assert pixels.dtype.name == dtype
    assert pixels.min() >= 0
    assert 2 < pixels.mean() < 8
    assert pixels.std() > 1


def test_the_same_seed_gives_the_same_frames_and_another_gives_others() -> None:
    first, again, other = (simulated(seed=seed).reference(0) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_pool_is_cycled() -> None:
    backend = simulated(pool=3)
    assert backend.reference(4) == backend.reference(1)
    assert backend.reference(1) != backend.reference(2)


def test_a_reference_does_not_depend_on_the_compression() -> None:
    assert simulated(compression="bslz4").reference(2) == simulated().reference(2)


def test_compressed_frames_decode_to_their_reference() -> None:
    backend = simulated(compression="bslz4", dtype="uint32")
    backend.arm(arm_request(frames=3))
    backend.trigger(TriggerRequest())
    for frame in read_frames(backend):
        pixels = np.load(io.BytesIO(backend.reference(frame.number)))
        np.testing.assert_array_equal(decode_part(frame.parts[0], frame.payload[0]), pixels)


def test_rings_of_lab6_stand_where_bragg_says() -> None:
    # 12.4 keV, 50 mm: the first ring (d = 4.157 A, 2 theta = 13.8 degrees) at 12.3 mm = 164 pixels of 75 um.
    pixels = np.load(io.BytesIO(simulated(shape=(512, 512), photons=50).reference(0))).astype(float)
    rows, columns = np.indices(pixels.shape) - 255.5
    radius = np.hypot(rows, columns).round().astype(int)
    profile = np.bincount(radius.ravel(), pixels.ravel()) / np.maximum(np.bincount(radius.ravel()), 1)
    assert abs(int(profile[100:200].argmax()) + 100 - 164) <= 1


def test_the_noise_is_that_of_counting_and_another_in_each_frame() -> None:
    backend = simulated(shape=(256, 256), pool=2)
    rows, columns = np.indices((256, 256)) - 127.5
    around = (np.hypot(rows, columns) // 0.5).astype(int) == 100  # 50 pixels out: between two rings
    one, other = (np.load(io.BytesIO(backend.reference(number)))[around].astype(float) for number in (0, 1))
    dark = (one < 30) & (other < 30)  # no spot
    assert 0.7 < one[dark].var() / one[dark].mean() < 1.4
    assert abs(np.corrcoef(one[dark], other[dark])[0, 1]) < 0.3


def test_a_large_detector_is_armed_in_seconds() -> None:
    backend = simulated(shape=(2162, 2068), dtype="uint32", compression="bslz4", pool=8)
    began = time.monotonic()
    backend.arm(arm_request())
    assert time.monotonic() - began < 5.0  # 0.7 s measured; one Poisson draw for each pixel took 4.5 s and more


def test_frames_that_would_fill_the_memory_are_refused_with_how_many_bytes_they_are() -> None:
    with pytest.raises(StinsError, match=r"pool: got 8: .*8 frames of 268435456 bytes, expected at most 1073741824"):
        simulated(shape=(16, 16), pool=8).configure({"shape": (16384, 8192)})


def test_frames_keep_their_period_on_average() -> None:
    backend = simulated(period_s=0.002, exposure_s=0.001)
    backend.arm(arm_request(frames=200))
    backend.trigger(TriggerRequest())
    began = time.monotonic()
    frames = read_frames(backend)
    assert 0.399 <= time.monotonic() - began < 1.0
    stamps = np.diff([frame.acquisition_timestamp for frame in frames])
    np.testing.assert_allclose(stamps, 2_000_000, atol=1)


def test_frames_that_are_overdue_are_handed_over_together() -> None:
    backend = simulated(period_s=1e-5, exposure_s=1e-5)
    backend.arm(arm_request(frames=500))
    backend.trigger(TriggerRequest())
    reads = []
    while backend.ending() is None:
        reads.append(len(backend.read(0.1)))
    assert sum(reads) == 500
    assert max(reads) > 1


def test_acquisition_timestamps_are_nanoseconds_since_1970() -> None:
    backend = simulated()
    before = time.time_ns()
    backend.arm(arm_request(frames=1))
    backend.trigger(TriggerRequest())
    (frame,) = read_frames(backend)
    assert before - 1_000_000 <= frame.acquisition_timestamp <= time.time_ns() + 1_000_000


def test_the_opening_carries_pixel_mask_and_flat_field_on_request() -> None:
    opening = simulated(series_arrays=True).arm(arm_request())
    assert [(part.name, part.shape, part.dtype) for part in opening.header.data] == [
        ("image", (16, 24), "uint16"),
        ("pixel_mask", (16, 24), "uint32"),
        ("flatfield", (16, 24), "float32"),
    ]
    assert [len(blob) for blob in opening.payload] == [16 * 24 * 4] * 2


def test_a_period_shorter_than_the_exposure_is_refused_with_the_exposure() -> None:
    backend = simulated()
    with pytest.raises(Exception, match=r"period_s: got 0.5: .*at least exposure_s, which is 1 s"):
        backend.configure({"exposure_s": 1.0, "period_s": 0.5})


def times_after(backend: SimulatedBackend, **changes: Any) -> tuple[float, float]:
    backend.configure(changes)
    return backend.settings.exposure_s, backend.settings.period_s


def test_an_exposure_that_is_set_alone_moves_a_period_that_is_too_short_for_it() -> None:
    backend = simulated(exposure_s=0.01, period_s=0.02)
    assert times_after(backend, exposure_s=0.5) == (0.5, 0.5)
    assert times_after(backend, exposure_s=0.01, photons=5) == (0.01, 0.5)  # long enough: it stays
    assert times_after(simulated(), exposure_s=0.5) == (0.5, 0.0)  # as fast as it goes


def test_an_exposure_that_is_none_is_refused_by_name_and_moves_nothing() -> None:
    backend = simulated(exposure_s=0.01, period_s=0.02)
    with pytest.raises(StinsError, match=r"^configure:\n  exposure_s: got 'long': [^\n]*$"):
        backend.configure({"exposure_s": "long"})
    assert (backend.settings.exposure_s, backend.settings.period_s) == (0.01, 0.02)


SHAPES = st.lists(st.integers(1, 40), min_size=2, max_size=2)
DTYPES = st.sampled_from(["uint8", "uint16", "int32", "uint64", "float32", "float64"])


@settings(max_examples=40, deadline=None)
@given(SHAPES, DTYPES, st.integers(0, 2**32 - 1))
def test_chunks_are_what_hdf5_stores_and_decode_without_it(shape: list[int], dtype: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 100, shape).astype(dtype)
    chunk = bslz4_chunk(pixels)
    np.testing.assert_array_equal(
        decode_part(Part(name="p", shape=tuple(shape), dtype=dtype, compression="bslz4"), chunk), pixels
    )
    with h5py.File("f", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("d", shape, dtype, chunks=tuple(shape), compression=hdf5plugin.Bitshuffle())
        dataset.id.write_direct_chunk((0, 0), chunk)
        np.testing.assert_array_equal(dataset[...], pixels)
