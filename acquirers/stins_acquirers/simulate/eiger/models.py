"""The detectors that can be simulated: how large they are and what sets one kind apart from another."""

from typing import Final

import msgspec

__all__ = ["FAMILIES", "MODELS", "Family", "Model", "model_names"]

Shape = tuple[int, int]


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """What all sizes of a kind have in common. Lengths in m, times in s, energies in eV; shapes are rows, columns."""

    name: str
    thresholds: int
    trigger_modes: tuple[str, ...]
    module: Shape
    gap: Shape
    pixel_size: float
    sensor_material: str
    sensor_thickness: float
    readout_time: float
    counter_bits: int
    counter_cutoff: int
    """Counts of one readout above which a pixel is saturated, after the count-rate correction."""
    longest_readout: float
    """A longer exposure is summed from several readouts."""
    has_high_voltage: bool
    energy: tuple[float, float]


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One detector: its shape and its highest frame rates (Hz) at 16 and at 8 bits; `None`: there is no 8-bit mode."""

    family: str
    size: str
    shape: Shape
    rate: float
    rate_8bit: float | None = None


FAMILIES: Final = {
    # Gaps and modules: pyFAI's detector definitions; readout, cut-off and sub-frame: the captured stream's header.
    "eiger1": Family(
        name="EIGER1",
        thresholds=1,
        trigger_modes=("exte", "exts", "inte", "ints"),
        module=(514, 1030),
        gap=(37, 10),
        pixel_size=75e-6,
        sensor_material="Si",
        sensor_thickness=450e-6,
        readout_time=3e-6,
        counter_bits=12,
        counter_cutoff=3919,
        longest_readout=1.324e-3,
        has_high_voltage=False,
        energy=(4000.0, 40_000.0),
    ),
    "eiger2": Family(
        name="EIGER2",
        thresholds=2,
        trigger_modes=("exte", "extg", "exts", "inte", "ints"),
        module=(512, 1028),
        gap=(38, 12),
        pixel_size=75e-6,
        sensor_material="CdTe",
        sensor_thickness=750e-6,
        readout_time=1e-7,
        counter_bits=16,
        counter_cutoff=65_000,
        longest_readout=10e-3,
        has_high_voltage=True,
        energy=(8000.0, 100_000.0),
    ),
    "pilatus4": Family(
        name="PILATUS4",
        thresholds=4,
        trigger_modes=("exte", "extg", "exts", "inte", "ints"),
        module=(255, 513),
        gap=(20, 7),
        pixel_size=150e-6,
        sensor_material="CdTe",
        sensor_thickness=1000e-6,
        readout_time=1e-7,
        counter_bits=16,
        counter_cutoff=65_000,
        longest_readout=10e-3,
        has_high_voltage=True,
        energy=(8000.0, 140_000.0),
    ),
}

# Rates: EIGER2 as the vendor's tables have them; EIGER1 "up to 3000 Hz", PILATUS4 not found: a cautious guess.
MODELS: Final = {
    "eiger1-500k": Model(family="eiger1", size="500K", shape=(514, 1030), rate=3000),
    "eiger1-1m": Model(family="eiger1", size="1M", shape=(1065, 1030), rate=3000),
    "eiger1-4m": Model(family="eiger1", size="4M", shape=(2167, 2070), rate=750),
    "eiger1-9m": Model(family="eiger1", size="9M", shape=(3269, 3110), rate=238),
    "eiger1-16m": Model(family="eiger1", size="16M", shape=(4371, 4150), rate=133),
    "eiger2-500k": Model(family="eiger2", size="500K", shape=(512, 1028), rate=2200, rate_8bit=4500),
    "eiger2-1m": Model(family="eiger2", size="1M", shape=(1062, 1028), rate=2250, rate_8bit=4500),
    "eiger2-4m": Model(family="eiger2", size="4M", shape=(2162, 2068), rate=560, rate_8bit=1120),
    "eiger2-9m": Model(family="eiger2", size="9M", shape=(3262, 3108), rate=230, rate_8bit=460),
    "eiger2-16m": Model(family="eiger2", size="16M", shape=(4362, 4148), rate=133, rate_8bit=266),
    "pilatus4-1m": Model(family="pilatus4", size="1M", shape=(1080, 1033), rate=2000),
    "pilatus4-2m": Model(family="pilatus4", size="2M", shape=(1630, 1553), rate=1000),
    "pilatus4-4m": Model(family="pilatus4", size="4M", shape=(2180, 2073), rate=500),
}


def model_names() -> list[str]:
    """The names that `--model` takes."""
    return list(MODELS)
