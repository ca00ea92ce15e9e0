"""The keys of `detector/config`, as each kind of detector has them."""

from collections.abc import Iterator

from stins.physics import HC_EV_ANGSTROM

from .keys import Key
from .models import Family, Model

__all__ = ["AXES", "ELEMENTS", "array_keys", "detector_keys"]

AXES = ("chi", "kappa", "omega", "phi", "two_theta")
#: K-alpha energies in eV (X-ray data booklet) of the elements that `element` takes; "" when the energy is another.
ELEMENTS = {"": 0.0, "Fe": 6403.84, "Ni": 7478.15, "Cu": 8047.78, "Ga": 9251.74, "Mo": 17479.34, "Ag": 22162.92}
_ENERGY = 12_400.0
_LONGEST_S = 3600.0
#: The reference's limit of each; the product has one of its own (2^48 since 2022.1.2).
_MOST_IMAGES = 2_000_000_000


def detector_keys(model: Model, family: Family) -> dict[str, Key]:
    """All keys that hold numbers and texts, with the values that they have after `initialize`."""
    found = [*_identity(model, family), *_exposure(model, family), *_energies(family), *_corrections(), *_geometry()]
    if family.name != "EIGER1":
        found += _second_generation(model, family)
    return {key.name: key for key in found}


def array_keys(family: Family) -> dict[str, str]:
    """The two-dimensional keys, and which array stands under each: `flatfield` and `pixel_mask`, of each threshold."""
    names = {"flatfield": "flatfield/1", "pixel_mask": "pixel_mask/1"}
    for number in range(1, family.thresholds + 1):
        names |= {f"threshold/{number}/{kind}": f"{kind}/{number}" for kind in ("flatfield", "pixel_mask")}
    return names


def _identity(model: Model, family: Family) -> Iterator[Key]:
    rows, columns = model.shape
    description = f"Dectris {family.name} {family.sensor_material} {model.size}"
    yield Key(name="description", value=description, value_type="string", access="r")
    yield Key(name="detector_number", value="E-00-0000", value_type="string", access="r")
    yield Key(name="eiger_fw_version", value="release-2022.1.2", value_type="string", access="r")
    yield Key(name="software_version", value="1.8.0", value_type="string", access="r")
    yield Key(name="sensor_material", value=family.sensor_material, value_type="string", access="r")
    yield Key(name="sensor_thickness", value=family.sensor_thickness, value_type="float", access="r", unit="m")
    yield Key(name="x_pixel_size", value=family.pixel_size, value_type="float", access="r", unit="m")
    yield Key(name="y_pixel_size", value=family.pixel_size, value_type="float", access="r", unit="m")
    yield Key(name="x_pixels_in_detector", value=columns, value_type="uint", access="r")
    yield Key(name="y_pixels_in_detector", value=rows, value_type="uint", access="r")
    yield Key(name="number_of_excluded_pixels", value=0, value_type="uint", access="r")
    yield Key(name="data_collection_date", value="", value_type="string")


def _exposure(model: Model, family: Family) -> Iterator[Key]:
    dead = family.readout_time
    shortest = 1 / (model.rate_8bit or model.rate)
    modes = family.trigger_modes
    yield Key(name="count_time", value=0.1, value_type="float", unit="s", minimum=dead, maximum=_LONGEST_S)
    yield Key(name="frame_time", value=0.1 + dead, value_type="float", unit="s", minimum=shortest, maximum=_LONGEST_S)
    yield Key(name="frame_count_time", value=0.1, value_type="float", unit="s", access="r")
    yield Key(name="detector_readout_time", value=dead, value_type="float", unit="s", access="r")
    yield Key(name="bit_depth_image", value=16, value_type="uint", access="r")
    yield Key(name="bit_depth_readout", value=16, value_type="uint", access="r")
    yield Key(name="nimages", value=1, value_type="uint", minimum=1, maximum=_MOST_IMAGES)
    yield Key(name="ntrigger", value=1, value_type="uint", minimum=1, maximum=_MOST_IMAGES)
    yield Key(name="trigger_mode", value="ints", value_type="string", allowed=modes)
    yield Key(name="auto_summation", value=True, value_type="bool")
    compressions = ("bslz4", "lz4") if family.name == "EIGER1" else ("bslz4", "lz4", "none")
    yield Key(name="compression", value="bslz4", value_type="string", allowed=compressions)
    yield Key(name="roi_mode", value="disabled", value_type="string", allowed=_roi_modes(model))
    if family.name == "EIGER1":
        yield Key(name="frame_period", value=0.1 + dead, value_type="float", unit="s", access="r")


def _roi_modes(model: Model) -> tuple[str, ...]:
    modes = ["disabled"]
    if model.size in ("9M", "16M"):
        modes.append("4M")
    if model.family != "eiger1":
        modes.append("lines")
    return tuple(modes)


def _energies(family: Family) -> Iterator[Key]:
    least, most = family.energy
    yield Key(name="element", value="", value_type="string", allowed=tuple(ELEMENTS))
    yield Key(name="photon_energy", value=_ENERGY, value_type="float", unit="eV", minimum=least, maximum=most)
    yield Key(
        name="wavelength",
        value=HC_EV_ANGSTROM / _ENERGY,
        value_type="float",
        unit="angstrom",
        minimum=HC_EV_ANGSTROM / most,
        maximum=HC_EV_ANGSTROM / least,
    )
    yield Key(
        name="threshold_energy", value=_ENERGY / 2, value_type="float", unit="eV", minimum=least / 2, maximum=most
    )


def _corrections() -> Iterator[Key]:
    yield Key(name="countrate_correction_applied", value=True, value_type="bool")
    yield Key(name="countrate_correction_count_cutoff", value=0, value_type="uint", access="r")
    yield Key(name="flatfield_correction_applied", value=True, value_type="bool")
    yield Key(name="pixel_mask_applied", value=True, value_type="bool")
    yield Key(name="virtual_pixel_correction_applied", value=True, value_type="bool")


def _geometry() -> Iterator[Key]:
    yield Key(name="beam_center_x", value=0.0, value_type="float", unit="pixel")
    yield Key(name="beam_center_y", value=0.0, value_type="float", unit="pixel")
    yield Key(name="detector_distance", value=0.0, value_type="float", unit="m", minimum=0.0)
    yield Key(name="detector_translation", value=[0.0, 0.0, 0.0], value_type="float[]", unit="m")
    for axis in AXES:
        yield Key(name=f"{axis}_start", value=0.0, value_type="float", unit="degree")
        yield Key(name=f"{axis}_increment", value=0.0, value_type="float", unit="degree")


def _second_generation(model: Model, family: Family) -> Iterator[Key]:
    """What came with EIGER2: several thresholds, gates, re-trigger, lines as region of interest."""
    least, most = family.energy
    yield Key(name="incident_energy", value=_ENERGY, value_type="float", unit="eV", minimum=least, maximum=most)
    yield Key(name="counting_mode", value="normal", value_type="string", allowed=("normal", "retrigger"))
    yield Key(name="extg_mode", value="pump_and_probe", value_type="string", allowed=("hdr", "pump_and_probe"))
    yield Key(name="nexpi", value=1, value_type="uint", minimum=1, maximum=(1 << 32) - 1)
    yield Key(name="trigger_start_delay", value=0.0, value_type="float", unit="s", minimum=0.0, maximum=60.0)
    yield Key(name="mask_to_zero", value=False, value_type="bool")
    yield Key(name="roi_y_size", value=model.shape[0], value_type="uint", minimum=1, maximum=model.shape[0])
    yield Key(name="roi_bit_depth", value=16, value_type="uint", minimum=8, maximum=16)
    yield Key(name="test_image_mode", value="", value_type="string", allowed=("", "value"))
    yield Key(name="test_image_value", value=0, value_type="uint", maximum=(1 << 32) - 1)
    for number in range(1, family.thresholds + 1):
        yield Key(
            name=f"threshold/{number}/energy",
            value=_ENERGY / 2,
            value_type="float",
            unit="eV",
            minimum=least / 2,
            maximum=most,
        )
        on_off = ("disabled", "enabled")
        mode = "enabled" if number == 1 else "disabled"
        yield Key(name=f"threshold/{number}/mode", value=mode, value_type="string", allowed=on_off)
        yield Key(name=f"threshold/{number}/number_of_excluded_pixels", value=0, value_type="uint", access="r")
    yield Key(name="threshold/difference/mode", value="disabled", value_type="string", allowed=("disabled", "enabled"))
    most_threshold = family.thresholds
    for name, number in (("lower", 1), ("upper", 2)):
        yield Key(
            name=f"threshold/difference/{name}_threshold",
            value=number,
            value_type="uint",
            minimum=1,
            maximum=most_threshold,
        )
