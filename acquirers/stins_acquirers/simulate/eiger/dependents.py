"""What a changed key changes with it: times, bit depths, cut-off, energies, thresholds, region of interest."""

from collections.abc import Callable, Mapping
from math import ceil
from typing import Final

from stins.physics import HC_EV_ANGSTROM

from .detector_keys import ELEMENTS
from .keys import RefusedError, Value
from .models import Family, Model

__all__ = ["MAY_CHANGE", "Values", "settle"]

Values = dict[str, Value]

#: Of the photon energy: what the thresholds are set to with it. The first is the vendor's rule; for the others none is
#: published, these are a choice.
_THRESHOLDS: Final = (0.5, 0.8, 1.1, 1.4)
#: Rows and columns of the 4M region of larger detectors.
_ROI_4M: Final = {"eiger1": (2167, 2070), "eiger2": (2162, 2068), "pilatus4": (2180, 2073)}
_MOST_IN_ALL = 1 << 48

_TIMES = (
    "bit_depth_image",
    "bit_depth_readout",
    "count_time",
    "countrate_correction_count_cutoff",
    "frame_count_time",
    "frame_period",
    "frame_time",
)
_ENERGIES = (
    "element",
    "flatfield",
    "incident_energy",
    "photon_energy",
    "threshold_energy",
    "wavelength",
    *(f"threshold/{number}/{what}" for number in range(1, 5) for what in ("energy", "flatfield")),
)
_REGION = (
    *_TIMES,
    "flatfield",
    "number_of_excluded_pixels",
    "pixel_mask",
    "roi_bit_depth",
    "roi_mode",
    "roi_y_size",
    "x_pixels_in_detector",
    "y_pixels_in_detector",
)
#: The keys that a PUT names in its reply beside the one it was for, whether they changed or not.
MAY_CHANGE: Final[Mapping[str, tuple[str, ...]]] = {
    "count_time": _TIMES,
    "frame_time": _TIMES,
    "auto_summation": _TIMES,
    "roi_mode": _REGION,
    "roi_y_size": _REGION,
    "roi_bit_depth": _REGION,
    "element": _ENERGIES,
    "incident_energy": _ENERGIES,
    "photon_energy": _ENERGIES,
    "wavelength": _ENERGIES,
    "threshold_energy": ("flatfield", "threshold/1/energy", "threshold/1/flatfield"),
    **{
        f"threshold/{number}/energy": (f"threshold/{number}/flatfield", *(("threshold_energy",) if number == 1 else ()))
        for number in range(1, 5)
    },
    "pixel_mask": ("number_of_excluded_pixels", "threshold/1/number_of_excluded_pixels", "threshold/1/pixel_mask"),
}


def settle(model: Model, family: Family, values: Values, changed: str) -> Values:
    """The values with all that follows from the key that was `changed`; raises `RefusedError`, changing nothing."""
    settled = dict(values)
    rule = _RULES.get(changed)
    if rule is not None:
        rule(model, family, settled, changed)
    return settled


def _settle_region(model: Model, family: Family, values: Values, changed: str) -> None:
    if changed == "roi_mode":
        values["count_time"], values["frame_time"] = 0.1, 0.1 + family.readout_time
    rows, columns = model.shape
    if values["roi_mode"] == "4M":
        rows, columns = _ROI_4M[model.family]
    elif values["roi_mode"] == "lines":
        rows = min(rows, values["roi_y_size"])
    values["y_pixels_in_detector"], values["x_pixels_in_detector"] = rows, columns
    _settle_times(model, family, values, changed)


def _settle_times(model: Model, family: Family, values: Values, _changed: str) -> None:
    """The frame time gives way to the count time, never the other way round."""
    values["frame_time"] = max(values["frame_time"], values["count_time"] + family.readout_time)
    count_s = values["count_time"]
    readouts = ceil(count_s / family.longest_readout) if values["auto_summation"] else 1
    values["frame_count_time"] = count_s / readouts
    if "frame_period" in values:
        values["frame_period"] = values["frame_count_time"] + family.readout_time
    depth = _readout_bits(model, family, values)
    values["bit_depth_readout"] = depth
    most = min(readouts * (family.counter_cutoff if depth > 8 else 250), (1 << 32) - 2)
    values["countrate_correction_count_cutoff"] = most
    values["bit_depth_image"] = 8 if depth == 8 else 16 if most < (1 << 16) - 1 else 32


def _readout_bits(model: Model, family: Family, values: Values) -> int:
    """A counter of 12 bits is read as 16; the fastest rates are read with 8 bits where there is such a mode."""
    if values.get("roi_mode") == "lines" and values["roi_bit_depth"] == 8:
        return 8
    if model.rate_8bit is not None and values["frame_time"] < 1 / model.rate:
        return 8
    return max(16, family.counter_bits)


def _settle_energy(_model: Model, family: Family, values: Values, changed: str) -> None:
    energy = _energy(values, changed)
    least, most = family.energy
    if not least <= energy <= most:
        raise RefusedError(f"{changed}: gives {energy:g} eV, expected {least:g} to {most:g} eV")
    values["element"] = values["element"] if changed == "element" else ""
    values["photon_energy"] = energy
    values["wavelength"] = HC_EV_ANGSTROM / energy
    if "incident_energy" in values:
        values["incident_energy"] = energy
    values["threshold_energy"] = energy * _THRESHOLDS[0]
    for number, part in enumerate(_THRESHOLDS, 1):
        if f"threshold/{number}/energy" in values:
            values[f"threshold/{number}/energy"] = min(energy * part, most)


def _energy(values: Values, changed: str) -> float:
    if changed == "element":
        return ELEMENTS[values["element"]] or float(values["photon_energy"])
    return float(HC_EV_ANGSTROM / values["wavelength"] if changed == "wavelength" else values[changed])


def _settle_first_threshold(_model: Model, _family: Family, values: Values, changed: str) -> None:
    other = "threshold_energy" if changed == "threshold/1/energy" else "threshold/1/energy"
    if other in values:
        values[other] = values[changed]


def _settle_number(_model: Model, _family: Family, values: Values, changed: str) -> None:
    total = values["nimages"] * values["ntrigger"]
    if total > _MOST_IN_ALL:
        raise RefusedError(f"{changed}: nimages x ntrigger gives {total}, expected at most {_MOST_IN_ALL}")


_Rule = Callable[[Model, Family, Values, str], None]
_RULES: Final[Mapping[str, _Rule]] = {
    "count_time": _settle_times,
    "frame_time": _settle_times,
    "auto_summation": _settle_times,
    "roi_mode": _settle_region,
    "roi_y_size": _settle_region,
    "roi_bit_depth": _settle_region,
    "element": _settle_energy,
    "incident_energy": _settle_energy,
    "photon_energy": _settle_energy,
    "wavelength": _settle_energy,
    "threshold_energy": _settle_first_threshold,
    "threshold/1/energy": _settle_first_threshold,
    "nimages": _settle_number,
    "ntrigger": _settle_number,
}
