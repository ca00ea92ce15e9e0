"""The JSON Schema of each message."""

from pathlib import Path

import jsonschema
import msgspec
import pytest

from stins import (
    Acquisition,
    Axis,
    Beamline,
    Channel,
    Data,
    Detector,
    FrameLayout,
    Part,
    SeriesEnd,
    SeriesInfo,
    SeriesStart,
    encode,
)
from stins.schema import MESSAGES, as_text, file_name, generate, schema

PART = Part(name="threshold_1", shape=(1, 3, 4), dtype="uint16", compression="bslz4", offset=(0, 0, 0))
FRAME = FrameLayout(shape=(2, 3, 4), chunks=(1, 3, 4))
MASK = Part(name="pixel_mask", shape=(3, 4), dtype="uint32", compression="lz4")
FULL = {
    "series-start": SeriesStart(
        version=1,
        message_id=0,
        arm_time="2026-01-01T00:00:00.000Z",
        series=SeriesInfo(id="a", source="sim", filename=None, record=False, frames_expected=3),
        detector=Detector(vendor="x", x_pixel_size=75e-6, saturation_value=65535, sensor_shape=(3, 4)),
        acquisition=Acquisition(
            count_time=0.1,
            threshold_energy=(6000.0,),
            gain="high",
            roi=(0, 0, 3, 4),
            goniometer=(Axis(name="omega", start=1.5, increment=0.1, vector=(-1.0, 0.0, 0.0)),),
            channels={"difference": Channel(threshold_energy=(6000.0, 9000.0), pixel_mask_applied=True)},
            frame_units={"real_time": "ns"},
        ),
        beamline=Beamline(sample_name="lysozyme", beam_profile="top-hat", polarization_stokes=(1.0, 1.0, 0.0, 0.0)),
        data=(
            msgspec.structs.replace(PART, compression="none"),
            MASK,
            msgspec.structs.replace(MASK, name="pixel_mask.threshold_2"),
        ),
        frame=FRAME,
        detector_specific={"any": {"thing": [1, None]}},
    ),
    "data": Data(
        version=1,
        message_id=2**64,
        frame_number=5,
        timestamp=(0.5, 0.6),
        acquisition_timestamp=2**60 + 1,
        data=(PART,),
        frame=FRAME,
        discard=False,
        retake=True,
        frames_dropped=((1, 2),),
    ),
    "series-end": SeriesEnd(
        version=1, message_id=9, frames_sent=5, frames_dropped=((1, 2),), status="failed", reason="overheated"
    ),
}


def validator(message_type: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema(message_type))


@pytest.mark.parametrize("message_type", MESSAGES)
def test_the_shipped_schema_is_what_the_types_say(message_type):
    assert as_text(schema(message_type)) == as_text(generate(message_type)), "run python -m stins.schema"


@pytest.mark.parametrize("message_type", MESSAGES)
def test_the_shipped_schema_is_a_schema(message_type):
    jsonschema.Draft202012Validator.check_schema(schema(message_type))
    assert file_name(message_type) == f"{message_type}.schema.json"


@pytest.mark.parametrize(("message_type", "message"), FULL.items())
def test_an_encoded_message_is_valid(message_type, message):
    validator(message_type).validate(msgspec.json.decode(encode(message)))


@pytest.mark.parametrize(
    ("message_type", "change", "where"),
    [
        ("series-start", {"version": 2}, "version"),
        ("series-start", {"channel1": 1}, "channel1"),
        ("series-start", {"series": {"id": 5}}, "series.id"),
        ("series-start", {"detector": {"pixel": 5}}, "pixel"),
        ("series-start", {"acquisition": {"goniometer": [{"name": "a/b", "start": 0}]}}, "goniometer.0.name"),
        ("series-start", {"acquisition": {"channels": {"a/b": {}}}}, "channels"),
        ("series-start", {"acquisition": {"slow_direction": [0, -1]}}, "slow_direction"),
        ("series-start", {"beamline": {"beam_profile": "square"}}, "beamline.beam_profile"),
        ("data", {"message_type": "series-end"}, "message_type"),
        ("data", {"message_id": -1}, "message_id"),
        ("data", {"frame_number": 2**53}, "frame_number"),
        ("data", {"data": [{"name": "image", "shape": [1]}]}, "dtype"),
        ("data", {"data": [{"name": "image", "shape": [1], "dtype": "uint128"}]}, "data.0.dtype"),
        ("data", {"data": [{"name": "a/b", "shape": [1], "dtype": "uint8"}]}, "data.0.name"),
        ("data", {"data": [{"name": "a", "shape": [1], "dtype": "uint8", "compression": "zip"}]}, "compression"),
        ("data", {"data": [{"name": "a", "shape": [2, 0], "dtype": "uint8"}]}, "data.0.shape.1"),
        ("data", {"data": [{"name": "a", "shape": [], "dtype": "uint8"}]}, "data.0.shape"),
        ("data", {"frame": {"shape": [2], "chunks": [0]}}, "frame.chunks.0"),
        ("series-start", {"data": [{"name": "a", "shape": [1], "dtype": "uint8", "compression": "lz4"}]}, "data.0"),
        ("data", {"frames_dropped": [[1]]}, "frames_dropped"),
        ("data", {"discard": "yes"}, "discard"),
        ("series-end", {"status": "over"}, "status"),
    ],
)
def test_a_wrong_message_is_refused_by_the_key(message_type, change, where):
    message = {**msgspec.json.decode(encode(FULL[message_type])), **change}

    errors = [f"{'.'.join(map(str, e.path))}: {e.message}" for e in validator(message_type).iter_errors(message)]

    assert any(where in error for error in errors), errors


def test_a_message_without_its_required_keys_is_refused():
    missing = {error.message for error in validator("data").iter_errors({"message_type": "data"})}

    assert missing == {f"{key!r} is a required property" for key in ("version", "message_id", "frame_number")}


PAGE = Path(__file__).parents[2] / "docs" / "stins.md"


@pytest.mark.parametrize("message_type", MESSAGES)
def test_the_protocols_page_names_every_key_and_links_to_the_schema(message_type):
    page = PAGE.read_text(encoding="utf-8")
    keys = {key for definition in schema(message_type)["$defs"].values() for key in definition["properties"]}

    assert {key for key in keys if f"`{key}`" not in page} == set()
    assert f"(../stins/schema/{file_name(message_type)})" in page
