"""`config` of the simulated EIGER over HTTP: replies, refusals, what changes with what, arrays."""

import base64
import io
from pathlib import Path
from typing import Any

import fabio
import numpy as np
import pytest
from fabio.tifimage import TifImage
from PIL import Image
from simulate_kit import RunningEiger, running_eiger
from stins_acquirers.simulate.eiger.options import EigerOptions
from stins_acquirers.simulate.eiger.settings import Settings

SHAPE = (64, 48)


def refused(eiger: RunningEiger, key: str, value: Any, module: str = "detector") -> tuple[int, str]:
    """Status and text of a PUT that is refused; the value must be the same behind it."""
    address = eiger.address(module, "config", key)
    before = eiger.client.get(address).json()
    reply = eiger.client.put(address, json={"value": value})
    assert eiger.client.get(address).json() == before
    return reply.status_code, reply.text


# -- replies ----------------------------------------------------------------------------------------


def test_a_key_is_described_as_far_as_that_applies(eiger: RunningEiger) -> None:
    eiger.set(nimages=1, trigger_mode="ints", count_time=0.001)
    assert eiger.get("detector", "config", "nimages") == {
        "access_mode": "rw",
        "max": 2_000_000_000,
        "min": 1,
        "value": 1,
        "value_type": "uint",
    }
    assert eiger.get("detector", "config", "trigger_mode")["allowed_values"] == ["exte", "extg", "exts", "inte", "ints"]
    assert eiger.get("detector", "config", "count_time")["unit"] == "s"
    assert eiger.get("detector", "config", "bit_depth_image")["access_mode"] == "r"
    assert eiger.get("detector", "config", "x_pixels_in_detector")["value"] == 48


def test_every_key_that_is_listed_can_be_read(eiger: RunningEiger) -> None:
    for module in ("detector", "stream", "monitor", "filewriter"):
        for task in ("config", "status"):
            for key in eiger.get(module, task, "keys"):
                assert "value" in eiger.get(module, task, key), f"{module}/{task}/{key}"


def test_the_version_and_the_tasks_are_told(eiger: RunningEiger) -> None:
    assert eiger.client.get("/detector/api/version").json()["value"] == "1.8.0"
    assert eiger.client.get("/detector/api/version/").json()["value"] == "1.8.0"
    assert eiger.client.get("/detector/api/1.8.0/keys").json() == ["command", "config", "status"]
    assert "initialize" in eiger.get("detector", "command", "keys")


@pytest.mark.parametrize(
    "path",
    [
        "/detector/api/1.8.0/config/nothing",
        "/detector/api/1.8.0/status/nothing",
        "/detector/api/1.8.0/nothing/state",
        "/nothing/api/1.8.0/config/nimages",
        "/detector/nothing",
        "/system/api/1.8.0/config/nothing",
        "/",
    ],
)
def test_an_address_that_is_not_there_is_answered_with_404_and_its_name(eiger: RunningEiger, path: str) -> None:
    reply = eiger.client.get(path)
    assert (reply.status_code, reply.text != "") == (404, True)


def test_another_version_is_refused(eiger: RunningEiger) -> None:
    reply = eiger.client.get("/detector/api/1.6.0/config/nimages")
    assert (reply.status_code, "incompatible version 1.6.0" in reply.text) == (400, True)


# -- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("nimages", 0, "at least 1"),
        ("nimages", -5, "type uint"),
        ("nimages", 2.0, "type uint"),
        ("nimages", True, "type uint"),
        ("nimages", 3_000_000_000, "at most 2000000000"),
        ("count_time", 1, "type float"),
        ("count_time", "1", "type float"),
        ("count_time", 0.0, "at least"),
        ("trigger_mode", "bogus", "exte, extg, exts, inte, ints"),
        ("auto_summation", 1, "type bool"),
        ("photon_energy", 1e6, "at most"),
        ("element", "Xx", "expected one of"),
        ("description", "mine", "read-only"),
        ("detector_translation", [1.0, "2"], "type float[]"),
        ("threshold/difference/upper_threshold", 3, "at most 2"),
    ],
)
def test_a_wrong_value_is_refused_and_nothing_changes(eiger: RunningEiger, key: str, value: Any, why: str) -> None:
    status, text = refused(eiger, key, value)
    assert (status // 100, key in text, why in text) == (4, True, True), text


@pytest.mark.parametrize("body", [b"", b"{}", b"1", b"[1]", b"{bad", b'{"values": 1}', b"[" * 100_000])
def test_a_body_that_is_no_value_is_refused(eiger: RunningEiger, body: bytes) -> None:
    reply = eiger.client.put(eiger.address("detector", "config", "nimages"), content=body)
    assert (reply.status_code, reply.text != "") == (400, True)


def test_more_images_than_2_to_the_48_are_refused(eiger: RunningEiger) -> None:
    eiger.set(nimages=2_000_000_000)
    assert "281474976710656" in refused(eiger, "ntrigger", 2_000_000_000)[1]
    eiger.set(nimages=1)


def test_the_configuration_is_not_changed_while_a_series_is_open(eiger: RunningEiger) -> None:
    eiger.command("arm")
    status, text = refused(eiger, "nimages", 5)
    eiger.command("disarm")
    assert (status, "state is ready, expected idle" in text) == (400, True)


def test_a_web_page_cannot_control_it(eiger: RunningEiger) -> None:
    foreign = {"Origin": "http://example.org"}
    assert eiger.client.put("/detector/api/1.8.0/command/arm", headers=foreign).status_code == 403
    assert eiger.client.post("/simulator/restart", headers=foreign).status_code == 403


# -- what changes with what -------------------------------------------------------------------------


def test_a_changed_count_time_names_what_changes_with_it(eiger: RunningEiger) -> None:
    assert eiger.put("count_time", 0.002) == [
        "bit_depth_image",
        "bit_depth_readout",
        "count_time",
        "countrate_correction_count_cutoff",
        "frame_count_time",
        "frame_time",
    ]
    assert eiger.put("nimages", 1) == ["nimages"]


def test_the_frame_time_gives_way_to_the_count_time(eiger: RunningEiger) -> None:
    eiger.set(count_time=0.001, frame_time=0.002)
    eiger.put("count_time", 0.005)
    assert eiger.value("frame_time") == pytest.approx(0.005 + 1e-7)
    eiger.put("frame_time", 0.001)
    assert eiger.value("frame_time") == pytest.approx(0.005 + 1e-7)


@pytest.mark.parametrize(("count_s", "frame_s", "image", "readout"), [(1e-4, 3e-4, 8, 8), (1e-3, 2e-3, 16, 16)])
def test_the_bit_depth_follows_the_frame_rate(
    eiger: RunningEiger, count_s: float, frame_s: float, image: int, readout: int
) -> None:
    eiger.set(count_time=count_s, frame_time=frame_s)
    assert (eiger.value("bit_depth_image"), eiger.value("bit_depth_readout")) == (image, readout)


def test_a_long_exposure_is_summed_into_32_bits_unless_that_is_off(eiger: RunningEiger) -> None:
    eiger.set(auto_summation=True, count_time=0.1)
    depth, cutoff = eiger.value("bit_depth_image"), eiger.value("countrate_correction_count_cutoff")
    assert (depth, cutoff, eiger.value("frame_count_time")) == (32, 650_000, pytest.approx(0.01))
    eiger.put("auto_summation", False)
    assert eiger.value("bit_depth_image") == 16
    eiger.set(auto_summation=True, count_time=0.001)


def test_energy_wavelength_element_and_thresholds_follow_each_other(eiger: RunningEiger) -> None:
    changed = eiger.put("element", "Cu")
    assert {"photon_energy", "incident_energy", "wavelength", "threshold_energy", "threshold/1/energy"} <= set(changed)
    assert (eiger.value("photon_energy"), eiger.value("threshold/1/energy")) == (8047.78, 8047.78 / 2)
    eiger.put("wavelength", 1.0)
    assert (eiger.value("element"), eiger.value("incident_energy")) == ("", pytest.approx(12_398.42))
    eiger.put("threshold/1/energy", 5000.0)
    assert eiger.value("threshold_energy") == 5000.0
    eiger.put("photon_energy", 12_400.0)


def test_a_region_of_interest_has_a_shape_and_resets_the_times(eiger: RunningEiger) -> None:
    eiger.set(count_time=0.002, roi_y_size=16)
    assert {"count_time", "frame_time", "y_pixels_in_detector"} <= set(eiger.put("roi_mode", "lines"))
    assert (eiger.value("y_pixels_in_detector"), eiger.value("count_time")) == (16, 0.1)
    eiger.put("roi_mode", "disabled")
    assert eiger.value("y_pixels_in_detector") == 64


# -- several at once --------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["stream", "filewriter"])
def test_several_keys_are_set_at_once_or_none(eiger: RunningEiger, module: str) -> None:
    address = f"/{module}/api/1.8.0/config"
    kind = {"stream": "cbor", "filewriter": "hdf5 nexus v2024.2 nxmx"}[module]
    reply = eiger.client.put(address, json={"mode": {"value": "enabled"}, "format": {"value": kind}})
    assert reply.json() == ["format", "mode"]
    bad = eiger.client.put(address, json={"mode": {"value": "disabled"}, "format": {"value": "bad"}})
    assert (bad.status_code, eiger.value("mode", module)) == (400, "enabled")
    eiger.put("mode", "disabled", module)


def test_several_keys_of_the_detector_are_not_set_at_once(eiger: RunningEiger) -> None:
    assert eiger.client.put("/detector/api/1.8.0/config", json={"nimages": {"value": 2}}).status_code == 404


# -- arrays -----------------------------------------------------------------------------------------


def test_a_mask_is_read_as_json_and_as_tiff(eiger: RunningEiger) -> None:
    address = eiger.address("detector", "config", "pixel_mask")
    darray = eiger.client.get(address).json()["value"]
    tiff = eiger.client.get(address, headers={"Accept": "application/tiff"})
    assert (darray["shape"], darray["type"], darray["filters"]) == ([48, 64], "<u4", ["base64"])
    mask = np.frombuffer(base64.b64decode(darray["data"]), "<u4").reshape(SHAPE)
    assert tiff.headers["content-type"] == "application/tiff"
    np.testing.assert_array_equal(mask, fabio.open(io.BytesIO(tiff.content)).data)


def test_a_flat_field_as_tiff_is_read_by_others(eiger: RunningEiger) -> None:
    address = eiger.address("detector", "config", "flatfield")
    tiff = eiger.client.get(address, headers={"Accept": "application/tiff"}).content
    pixels = np.asarray(Image.open(io.BytesIO(tiff)))
    assert (pixels.dtype, pixels.shape) == (np.float32, SHAPE)
    assert pixels.mean() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("kind", ["json", "tiff"])
def test_a_mask_that_is_put_is_read_back_and_restored(eiger: RunningEiger, kind: str, tmp_path: Path) -> None:
    address = eiger.address("detector", "config", "threshold/1/pixel_mask")
    original = eiger.client.get(address).json()
    mask = np.arange(64 * 48, dtype="<u4").reshape(SHAPE) % 3
    if kind == "json":
        data = base64.b64encode(mask.tobytes()).decode()
        darray = {"__darray__": [1, 0, 0], "type": "<u4", "shape": [48, 64], "filters": ["base64"], "data": data}
        reply = eiger.client.put(address, json={"value": darray})
    else:
        TifImage(data=mask).write(str(tmp_path / "mask.tif"))
        content = (tmp_path / "mask.tif").read_bytes()
        reply = eiger.client.put(address, content=content, headers={"Content-Type": "application/tiff"})
    assert {"pixel_mask", "threshold/1/pixel_mask", "number_of_excluded_pixels"} <= set(reply.json())
    read = eiger.client.get(eiger.address("detector", "config", "pixel_mask"), headers={"Accept": "application/tiff"})
    np.testing.assert_array_equal(fabio.open(io.BytesIO(read.content)).data, mask)
    assert eiger.value("number_of_excluded_pixels") == np.count_nonzero(mask)
    eiger.client.delete(address)
    assert eiger.client.get(address).json() == original


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [64, 48]},
        {"type": "<f4"},
        {"type": "<i8"},
        {"data": "!"},
        {"data": "AAAA"},
        {"filters": []},
        {"shape": [0, 0]},
    ],
)
def test_an_array_of_another_shape_or_type_is_refused(eiger: RunningEiger, change: dict[str, Any]) -> None:
    address = eiger.address("detector", "config", "pixel_mask")
    before = eiger.client.get(address).json()
    reply = eiger.client.put(address, json={"value": {**before["value"], **change}})
    assert (reply.status_code, reply.text != "") == (400, True)
    assert eiger.client.get(address).json() == before


@pytest.mark.parametrize("content", [b"", b"II*\0", b"MM\0*", b"II*\0\x08\0\0\0\xff\xff"])
def test_a_broken_tiff_is_refused(eiger: RunningEiger, content: bytes) -> None:
    address = eiger.address("detector", "config", "flatfield")
    reply = eiger.client.put(address, content=content, headers={"Content-Type": "application/tiff"})
    assert (reply.status_code, "TIFF" in reply.text) == (400, True)


def test_only_an_array_can_be_restored(eiger: RunningEiger) -> None:
    assert eiger.client.delete(eiger.address("detector", "config", "nimages")).status_code == 405


# -- what sets one kind apart from another ----------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "shape", "thresholds"),
    [("eiger1", (1065, 1030), 0), ("eiger2-500k", (512, 1028), 2), ("pilatus4", (1080, 1033), 4)],
)
def test_a_model_has_its_size_and_its_thresholds(model: str, shape: tuple[int, int], thresholds: int) -> None:
    table = Settings(EigerOptions(model=model)).detector
    assert (table.values["y_pixels_in_detector"], table.values["x_pixels_in_detector"]) == shape
    assert sum(f"threshold/{number}/energy" in table for number in range(1, 9)) == thresholds
    assert model.partition("-")[0].upper() in table.values["description"]
    assert ("nexpi" in table) is (thresholds > 0)


def test_the_first_dialect_has_its_own_keys_and_needs_an_update_of_its_status() -> None:
    with running_eiger(model="eiger1-1m", api="1.6.0") as eiger:
        eiger.command("initialize")
        stream, status = eiger.get("stream", "config", "keys"), eiger.get("detector", "status", "keys")
        assert ("format" in stream, "link_3" in status, "builder/dcu_buffer_free" in status) == (False, True, True)
        assert "high_voltage/state" not in status
        before = eiger.get("detector", "status", "time")
        assert eiger.get("detector", "status", "time") == before
        eiger.command("status_update")
        assert eiger.get("detector", "status", "time") != before
        assert eiger.get("filewriter", "status", "buffer_free")["unit"] == "KB"
        assert eiger.client.get("/detector/api/1.8.0/status/state").status_code == 400
