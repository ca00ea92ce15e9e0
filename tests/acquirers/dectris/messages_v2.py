"""Messages of stream v2 as a detector sends them, written with a general CBOR encoder."""

from typing import Any

import cbor2
import lz4.block
import numpy as np
from numpy.typing import NDArray
from stins_acquirers.compress import bslz4_chunk

TAGS = {"uint8": 64, "uint16": 69, "uint32": 70, "float32": 85}
SERIES = {"series_id": 3, "series_unique_id": "01HBV3JPF9"}


def message(kind: str, **content: Any) -> bytes:
    """Self-described CBOR whose first key is its type."""
    return cbor2.dumps(cbor2.CBORTag(55799, {"type": kind, **SERIES, **content}))


def array(pixels: NDArray[Any], compression: str = "none") -> cbor2.CBORTag:
    """A multi-dimensional array."""
    blob: Any = pixels.tobytes()
    if compression == "bslz4":
        blob = cbor2.CBORTag(56500, ["bslz4", pixels.dtype.itemsize, bytes(bslz4_chunk(pixels))])
    elif compression == "lz4":
        blob = cbor2.CBORTag(56500, ["lz4", 0, lz4_chunk(pixels.tobytes())])
    return cbor2.CBORTag(40, [list(pixels.shape), cbor2.CBORTag(TAGS[pixels.dtype.name], blob)])


def lz4_chunk(raw: bytes) -> bytes:
    """One block, framed as HDF5's LZ4 filter stores it."""
    block = lz4.block.compress(raw, store_size=False)
    if len(block) >= len(raw):
        block = raw
    return b"".join([len(raw).to_bytes(8, "big"), *(size.to_bytes(4, "big") for size in (len(raw), len(block))), block])


def image(data: dict[str, Any], number: int = 5, **more: Any) -> bytes:
    """An image of 2.5 ms that began 20 ms after the series."""
    times = {"start_time": [1_000_000, 50_000_000], "stop_time": [1_125_000, 50_000_000]}
    times["real_time"] = [125_000, 50_000_000]
    date = cbor2.CBORTag(0, "2023-10-03T17:47:49.434+02:00")
    return message("image", **{"image_id": number, "series_date": date, **times, "data": data, **more})


def start(**more: Any) -> bytes:
    """A start message with basic detail."""
    content = {
        "arm_date": cbor2.CBORTag(0, "2023-10-03T17:47:48.329+02:00"),
        "beam_center_x": 51.5,
        "beam_center_y": 30.0,
        "channels": ["threshold_1"],
        "count_time": 0.004,
        "countrate_correction_enabled": True,
        "detector_description": "Dectris EIGER2 Si 1M",
        "detector_serial_number": "E-32-0117",
        "detector_translation": [0.15, 0.16, -0.237],
        "flatfield_enabled": True,
        "frame_time": 0.0041,
        "goniometer": {"omega": {"increment": 0.1, "start": 30.0}, "chi": {"increment": 0.0, "start": 0.0}},
        "image_dtype": "uint16",
        "image_size_x": 100,
        "image_size_y": 60,
        "incident_energy": 13_500.0,
        "incident_wavelength": 0.918,
        "number_of_images": 20,
        "pixel_mask_enabled": False,
        "pixel_size_x": 7.5e-05,
        "pixel_size_y": 7.5e-05,
        "saturation_value": 21_517,
        "sensor_material": "Si",
        "sensor_thickness": 0.00045,
        "threshold_energy": {"threshold_1": 6750.0, "threshold_2": 9000.0},
        "user_data": '{"filename": "x.h5"}',
        "virtual_pixel_interpolation_enabled": True,
    }
    return message("start", **{**content, **more})


def pixels(dtype: str = "uint16") -> NDArray[Any]:
    """60 rows of 100 pixels."""
    return (np.arange(6000) % 97).astype(dtype).reshape(60, 100)
